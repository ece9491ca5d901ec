//! How many connections each address has.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Connections by address. A handle: clones are the same count.
#[derive(Clone, Default)]
pub(crate) struct Addresses(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// A connection's place among those of its address, until the last clone is dropped.
#[derive(Clone)]
pub(crate) struct AddressPlace(#[expect(dead_code, reason = "is there to be dropped")] Arc<Held>);

struct Held {
    addresses: Addresses,
    of: IpAddr,
}

/// What connections of one machine have in common: whoever has an IPv6 address has a network of 2^64 of them.
fn origin(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        address => address,
    }
}

impl Addresses {
    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place, if the address has fewer than so many.
    pub(crate) fn enter(&self, address: IpAddr, max: usize) -> Option<AddressPlace> {
        let of = origin(address);
        let mut counts = self.lock();
        let count = counts.get(&of).copied().unwrap_or(0);
        if count >= max {
            return None;
        }
        counts.insert(of, count + 1);
        drop(counts);
        Some(AddressPlace(Arc::new(Held { addresses: self.clone(), of })))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut counts = self.addresses.lock();
        if let Some(count) = counts.get_mut(&self.of) {
            *count -= 1;
            // Who left is not remembered.
            if *count == 0 {
                counts.remove(&self.of);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_by_address_and_given_back() {
        let addresses = Addresses::default();
        let [one, other]: [IpAddr; 2] = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse().unwrap());
        let first = addresses.enter(one, 2).unwrap();
        let second = addresses.enter(one, 2).unwrap();
        assert!(addresses.enter(one, 2).is_none());
        assert!(addresses.enter(other, 2).is_some());
        let kept = first.clone();
        drop(first);
        assert!(addresses.enter(one, 2).is_none(), "a clone holds the place");
        drop(kept);
        assert!(addresses.enter(one, 2).is_some());
        drop(second);
        assert!(addresses.lock().is_empty());
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let addresses = Addresses::default();
        let enter = |text: &str| addresses.enter(text.parse().unwrap(), 1);
        let _held = [enter("2001:db8::1").unwrap(), enter("::ffff:192.0.2.1").unwrap()];
        assert!(enter("2001:db8::2:3:4:5").is_none());
        assert!(enter("192.0.2.1").is_none(), "an IPv4 address in the dress of an IPv6 one");
        assert!(enter("2001:db8:0:1::1").is_some());
    }
}
