//! The reference app: the state and actions with which hosts and clients of all languages are tested.

use std::time::Duration;

use peristyle_mirror::{
    Failure, Host, HostBuilder, List, Live, Map, State, StateList, SyncMode, Text, Value, module, sleep, yield_now,
};

#[derive(Clone, State)]
pub struct Counter {
    count: f64,
    label: Value,
}

impl Counter {
    /// Adds, as the app itself may.
    #[allow(dead_code)]
    pub fn add(&mut self, step: f64) {
        self.count += step;
    }
}

#[module]
impl Counter {
    /// Adds, and returns the new count.
    #[action]
    fn increase(&mut self, step: Option<f64>) -> f64 {
        self.count += step.unwrap_or(1.0);
        self.count
    }

    /// Sets both, as one change.
    #[action]
    fn both(&mut self, count: f64, label: Value) -> Value {
        (self.count, self.label) = (count, label);
        Value::Null
    }

    /// Changes nothing.
    #[action]
    fn noop(&self) -> Value {
        Value::Null
    }

    /// Waits a moment, adds 1, fails.
    #[action]
    async fn fail_after(this: Live<Self>, message: String) -> Result<Value, Failure> {
        sleep(Duration::from_millis(5)).await;
        this.update(|counter| {
            counter.count += 1.0;
            Ok(())
        })?;
        Err(Failure::error(message))
    }

    /// Adds 1 and fails at once, so that nothing was added.
    #[action]
    fn fail_before(&mut self, message: String) -> Result<Value, Failure> {
        self.count += 1.0;
        Err(Failure::type_error(message))
    }

    /// Waits, adds, returns the count.
    #[action]
    async fn slow(this: Live<Self>, ms: f64, step: f64) -> Result<f64, Failure> {
        let wait = Duration::try_from_secs_f64(ms.max(0.0) / 1000.0)?;
        sleep(wait).await;
        this.update(|counter| {
            counter.count += step;
            Ok(counter.count)
        })
    }

    /// Adds 1 `n` times, a change each.
    #[action]
    async fn steps(this: Live<Self>, n: u32) -> Result<u32, Failure> {
        for _ in 0..n {
            this.update(|counter| {
                counter.count += 1.0;
                Ok(())
            })?;
            yield_now().await;
        }
        Ok(n)
    }

    /// Returns the count. No action, but exposed.
    #[method]
    fn peek(&self) -> f64 {
        self.count
    }

    /// Neither an action nor exposed.
    #[method]
    fn hidden(&self) -> f64 {
        self.count
    }
}

#[derive(Clone, State)]
pub struct Items {
    #[state(tracked)]
    items: StateList<Value>,
}

impl Items {
    /// An index as `splice` takes it: beyond the end is the end, negative counts from there.
    fn clamp(&self, index: f64) -> usize {
        let len = self.items.len();
        if index < 0.0 { (len as f64 + index).max(0.0) as usize } else { (index as usize).min(len) }
    }
}

#[allow(dead_code)]
impl Items {
    /// Inserts something, as the app itself may.
    pub fn grow(&mut self, at: usize) {
        let at = at.min(self.items.len());
        self.items.insert(at, Value::from(self.items.len() as u32));
    }

    /// Removes something, or changes it if there is little.
    pub fn shrink(&mut self, at: usize) {
        if self.items.len() > 4 {
            self.items.remove(at % self.items.len());
        } else if let Some(item) = self.items.get_mut(at) {
            *item = Value::from(at as u32 + 100);
        }
    }
}

#[module(name = "list")]
impl Items {
    /// Makes `n` objects.
    #[action]
    fn fill(&mut self, n: u32) -> u32 {
        let [id, x, y] = ["id", "x", "y"].map(Text::from);
        let item = |index: u32| {
            let entries = [(id.clone(), index.into()), (x.clone(), 0.into()), (y.clone(), 0.into())];
            Value::Map(entries.into_iter().collect())
        };
        self.items.replace((0..n).map(item));
        n
    }

    #[action]
    fn append(&mut self, #[rest] values: Vec<Value>) -> usize {
        values.into_iter().for_each(|value| self.items.push(value));
        self.items.len()
    }

    #[action]
    fn insert(&mut self, index: f64, value: Value) -> usize {
        self.items.insert(self.clamp(index), value);
        self.items.len()
    }

    #[action]
    fn remove_at(&mut self, index: f64) -> usize {
        self.items.remove(self.clamp(index));
        self.items.len()
    }

    #[action]
    fn put(&mut self, index: usize, value: Value) -> Result<Value, Failure> {
        let len = self.items.len();
        match self.items.get_mut(index) {
            Some(item) => *item = value,
            None if index == len => self.items.push(value),
            None => return Err(Failure::range_error(format!("index {index} is beyond the end"))),
        }
        Ok(Value::Null)
    }

    #[action]
    fn replace_all(&mut self, values: Value) -> Result<Value, Failure> {
        let values = values.as_list().ok_or_else(|| Failure::type_error("values are a list"))?;
        self.items.replace(values.iter().cloned());
        Ok(Value::Null)
    }

    /// Moves `count` objects, every `stride`-th from `start`.
    #[action]
    fn touch(&mut self, start: u64, stride: u64, count: u64) -> u64 {
        let [x, y] = ["x", "y"].map(Text::from);
        for k in 0..count {
            let Some(index) = (u128::from(start) + u128::from(k) * u128::from(stride)).checked_rem(self.len()) else {
                break;
            };
            let Some(Value::Map(item)) = self.items.get_mut(index as usize) else { continue };
            for (key, step) in [(&x, 1.0), (&y, -1.0)] {
                if let Some(Value::Number(number)) = item.get_mut(key) {
                    *number = *number + step + 0.0;
                }
            }
        }
        count
    }
}

impl Items {
    fn len(&self) -> u128 {
        self.items.len() as u128
    }
}

#[derive(Clone, State)]
pub struct Doc {
    root: Value,
}

/// A step of a path: a key, or an index.
fn child<'a>(container: &'a mut Value, step: &Value) -> Result<&'a mut Value, Failure> {
    let missing = || Failure::type_error(format!("there is no {step} on the way"));
    match container {
        Value::List(list) => list.get_mut(index(step).ok_or_else(missing)?).ok_or_else(missing),
        Value::Map(map) => map.get_mut(&key(step)?).ok_or_else(missing),
        _ => Err(missing()),
    }
}

fn key(step: &Value) -> Result<Text, Failure> {
    match step {
        Value::String(key) => Ok(key.clone()),
        Value::Number(_) => Ok(step.to_json().into()),
        _ => Err(Failure::type_error("a path is made of keys and indices")),
    }
}

fn index(step: &Value) -> Option<usize> {
    match step {
        Value::Number(_) => step.as_i64().and_then(|index| index.try_into().ok()),
        step => step.as_str().filter(|text| *text == "0" || !text.starts_with(['0', '+']))?.parse().ok(),
    }
}

impl Doc {
    fn container<'a>(&mut self, path: &'a List) -> Result<(&mut Value, &'a Value), Failure> {
        let mut container = &mut self.root;
        let last = path.len().checked_sub(1).ok_or_else(|| Failure::type_error("a path below the root"))?;
        for step in path.iter().take(last) {
            container = child(container, step)?;
        }
        Ok((container, path.get(last).unwrap_or(&Value::Null)))
    }
}

#[allow(dead_code)]
impl Doc {
    /// Sets a key, as the app itself may.
    pub fn set(&mut self, key: &str, value: Value) -> Result<(), Failure> {
        if let Value::Map(map) = &mut self.root {
            map.insert(key.into(), value);
        }
        Ok(())
    }
}

fn segments(path: &Value) -> Result<&List, Failure> {
    path.as_list().ok_or_else(|| Failure::type_error("a path is a list"))
}

#[module]
impl Doc {
    /// Sets what is at a path.
    #[action]
    fn put(&mut self, path: Value, value: Value) -> Result<Value, Failure> {
        let (container, last) = self.container(segments(&path)?)?;
        match container {
            Value::List(list) => match index(last) {
                Some(index) if index < list.len() => {
                    list.get_mut(index).into_iter().for_each(|slot| *slot = value.clone())
                }
                Some(index) if index == list.len() => list.push(value),
                _ => return Err(Failure::range_error(format!("no index {last}"))),
            },
            Value::Map(map) => drop(map.insert(key(last)?, value)),
            _ => return Err(Failure::type_error(format!("nothing to set {last} in"))),
        }
        Ok(Value::Null)
    }

    /// Deletes what is at a path.
    #[action]
    fn del(&mut self, path: Value) -> Result<Value, Failure> {
        let (container, last) = self.container(segments(&path)?)?;
        match container {
            Value::List(list) => drop(index(last).and_then(|index| list.remove(index))),
            Value::Map(map) => drop(map.remove(&key(last)?)),
            _ => return Err(Failure::type_error(format!("nothing to delete {last} from"))),
        }
        Ok(Value::Null)
    }

    /// Returns its argument.
    #[action]
    fn echo(&self, value: Value) -> Value {
        value
    }
}

#[derive(Clone, State)]
pub struct Secret {
    token: Value,
}

#[module]
impl Secret {
    /// Sets and returns the token.
    #[action]
    fn rotate(&mut self, token: Value) -> Value {
        self.token = token.clone();
        token
    }
}

/// The app of a room, by the first part of its path; nothing if there are no such rooms.
pub fn builder(kind: &str) -> Option<HostBuilder> {
    let builder = Host::builder()
        .module(Counter { count: 0.0, label: "zero".into() })
        .module(Items { items: StateList::new() })
        .module(Doc { root: Map::new().into() })
        .module(Secret { token: "initial".into() })
        .expose("counter", &["peek"]);
    match kind {
        "patch" => Some(builder.sync(SyncMode::Patch)),
        "snapshot" => Some(builder.sync(SyncMode::Snapshot)),
        "sections" => Some(builder.sync(SyncMode::Patch).sections(&["counter", "list"])),
        _ => None,
    }
}
