//! Components and columns that the world has once, from texts; tables of components.

use peristyle_memory::Memory;
use peristyle_schedule::Stage;
use peristyle_world::{Field, Scalar, SharedWorld};

use crate::{
    blocks::Blocks,
    core::{Core, nothing},
    status::{Failure, Status},
};

/// The text that the host wrote.
pub(crate) fn text(blocks: &Blocks, bytes: u32) -> Result<String, Failure> {
    // Copied first: natively another agent may write meanwhile.
    let bytes = blocks.bytes(bytes as usize)?.to_vec();
    String::from_utf8(bytes).map_err(|error| Failure::new(Status::BadText, error.to_string()))
}

/// A name and the fields below it.
fn described(text: &str) -> Result<(&str, Vec<Field>), Failure> {
    let mut lines = text.lines();
    let name = lines.next().filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| Failure::new(Status::BadText, "a component or resource has a name"))?;
    let mut fields = Vec::new();
    for line in lines {
        let Some((field, scalar)) = line.split_once(':') else {
            return Err(Failure::new(Status::BadText, format!("`{name}`: `{line}` is no `field:scalar`")));
        };
        fields.push(match scalar {
            "entity" => Field::entity(field),
            _ => {
                let known = Scalar::from_name(scalar).ok_or_else(|| {
                    let names = Scalar::ALL.map(Scalar::name).join(", ");
                    let text = format!("`{name}`: field `{field}` is of type `{scalar}`, known are {names} and entity");
                    Failure::new(Status::BadField, text)
                })?;
                Field::new(field, known)
            }
        });
    }
    Ok((name, fields))
}

pub(crate) fn stage(name: &str) -> Result<Stage, Failure> {
    Stage::from_name(name).ok_or_else(|| {
        let names = Stage::ALL.map(Stage::name).join(", ");
        Failure::new(Status::NoStage, format!("there is no stage `{name}`: stages are {names}"))
    })
}

/// Where something of the memory is, as scripts and kernels know it.
pub(crate) fn offset<T>(memory: &Memory, address: *mut T) -> u32 {
    std::ptr::NonNull::new(address).map_or(0, |address| memory.offset_of(address.cast()) as u32)
}

/// What functions do is said in the [table](crate::functions).
#[allow(missing_docs)]
impl Core {
    pub fn define_component(&mut self, bytes: u32) -> Result<u32, Failure> {
        let text = text(&self.blocks, bytes)?;
        let (name, fields) = described(&text)?;
        Ok(self.world.define(name, fields)?.index())
    }

    pub fn define_resource(&mut self, bytes: u32, rows: u32) -> Result<u32, Failure> {
        self.unless_leased()?;
        let text = text(&self.blocks, bytes)?;
        let (name, fields) = described(&text)?;
        Ok(self.world.define_columns(name, fields, rows as usize)?.index())
    }

    pub fn resource_columns(&mut self, resource: u32) -> Result<usize, Failure> {
        let id = self.resource(resource)?;
        let columns = SharedWorld::new(&self.world).column_resource(id).ok_or_else(|| nothing("resource", resource))?;
        let count = columns.fields().len();
        let out = self.blocks.words_out(count)?;
        for (out, (address, _)) in out.iter_mut().zip(columns.columns()) {
            *out = offset(self.world.memory(), address);
        }
        Ok(count)
    }

    pub fn resource_rows(&mut self, resource: u32) -> Result<usize, Failure> {
        let id = self.resource(resource)?;
        Ok(SharedWorld::new(&self.world).column_resource(id).map_or(0, |columns| columns.rows()))
    }

    pub fn table(&mut self, count: u32) -> Result<u32, Failure> {
        let numbers = self.blocks.words(count as usize)?.to_vec();
        let mut components = Vec::with_capacity(numbers.len());
        for number in numbers {
            let id = self.component(number)?;
            self.columnar(number)?;
            if components.contains(&id) {
                let text = format!("component `{}` is named twice", self.world.components().info(id).name());
                return Err(Failure::new(Status::BadArgument, text));
            }
            components.push(id);
        }
        Ok(self.world.table_of_components(&components).index())
    }

    pub fn table_with(&mut self, table: u32, component: u32) -> Result<u32, Failure> {
        let (id, component_id) = (self.table_at(table)?, self.component(component)?);
        self.columnar(component)?;
        let mut components = self.world.components_of_table(id).to_vec();
        if components.contains(&component_id) {
            return Ok(table);
        }
        components.push(component_id);
        Ok(self.world.table_of_components(&components).index())
    }

    pub fn table_without(&mut self, table: u32, component: u32) -> Result<u32, Failure> {
        let (id, component) = (self.table_at(table)?, self.component(component)?);
        let mut components = self.world.components_of_table(id).to_vec();
        components.retain(|known| *known != component);
        Ok(self.world.table_of_components(&components).index())
    }

    pub fn table_of(&mut self, entity: f64) -> Result<u32, Failure> {
        Ok(self.world.table_of_entity(Core::handle(entity)?)?.index())
    }

    pub fn table_components(&mut self, table: u32) -> Result<usize, Failure> {
        let id = self.table_at(table)?;
        let components = self.world.components_of_table(id);
        let out = self.blocks.words_out(components.len())?;
        out.iter_mut().zip(components).for_each(|(out, component)| *out = component.index());
        Ok(components.len())
    }

    pub fn table_rows(&mut self, table: u32) -> Result<usize, Failure> {
        Ok(self.world.rows_of_table(self.table_at(table)?))
    }

    pub fn table_chunks(&mut self, table: u32) -> Result<usize, Failure> {
        let id = self.table_at(table)?;
        let rows = self.world.rows_of_table(id);
        let chunks = rows.div_ceil(peristyle_layout::chunk::CHUNK_ROWS);
        let out = self.blocks.words_out(chunks)?;
        for (at, out) in out.iter_mut().enumerate() {
            *out = self.world.place_of_row(id, at * peristyle_layout::chunk::CHUNK_ROWS).chunk;
        }
        Ok(chunks)
    }

    pub fn reserve(&mut self, table: u32, rows: u32) -> Result<(), Failure> {
        self.unless_leased()?;
        self.world.reserve_rows(self.table_at(table)?, rows as usize)?;
        self.tell_structure();
        Ok(())
    }

    /// Values of opaque components are Rust's.
    fn columnar(&self, component: u32) -> Result<(), Failure> {
        match self.world.component_at(component) {
            Some(info) if !info.is_columnar() => {
                let text = format!("component `{}` is of a Rust type without columns: only Rust gives it", info.name());
                Err(Failure::new(Status::BadArgument, text))
            }
            _ => Ok(()),
        }
    }
}
