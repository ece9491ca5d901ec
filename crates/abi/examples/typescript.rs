//! Writes the TypeScript types of the table: `cargo run -p peristyle-abi --example typescript > abi.ts`.

fn main() {
    print!("{}", peristyle_abi::typescript());
}
