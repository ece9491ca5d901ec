//! A persistent sequence: copies share what they have in common.
//!
//! A B+ tree by position. Leaves hold up to [`CHUNK`] elements, branches as many children and the number of elements
//! below them. A copy is a reference to the root; a change copies the nodes from the root to one leaf, and only those that
//! somebody else holds too.
//!
//! # Rules
//! - All leaves are equally deep. A node may be under-full (removal merges only what fits one node), never empty but for
//!   the root.
//! - Two trees that share a node agree on all elements below it. Comparisons rest on that.
//!
//! # Not here
//! Order of elements: [`Map`](crate::Map) keeps it.

use std::sync::Arc;

/// Elements of a leaf, children of a branch. Copying a node counts a reference to each of its elements, which are far apart
/// in memory: so it has few. A list of 10 000 is four levels.
const CHUNK: usize = 16;

#[derive(Clone)]
enum Node<T> {
    Leaf(Vec<T>),
    /// `sizes` are the children's lengths, side by side: finding a child looks at no other child.
    Branch {
        len: usize,
        sizes: Vec<usize>,
        children: Vec<Arc<Node<T>>>,
    },
}

/// A sequence whose copies share nodes.
#[derive(Clone)]
pub(crate) struct Tree<T> {
    /// Nothing for an empty sequence, so that empty lists cost no memory.
    root: Option<Arc<Node<T>>>,
}

impl<T> Default for Tree<T> {
    fn default() -> Self {
        Tree { root: None }
    }
}

impl<T> Node<T> {
    fn len(&self) -> usize {
        match self {
            Node::Leaf(items) => items.len(),
            Node::Branch { len, .. } => *len,
        }
    }

    /// The number of elements or children.
    fn width(&self) -> usize {
        match self {
            Node::Leaf(items) => items.len(),
            Node::Branch { children, .. } => children.len(),
        }
    }

    fn branch(children: Vec<Arc<Node<T>>>) -> Node<T> {
        let sizes: Vec<usize> = children.iter().map(|child| child.len()).collect();
        Node::Branch { len: sizes.iter().sum(), sizes, children }
    }

    fn first(&self) -> Option<&T> {
        let mut node = self;
        loop {
            match node {
                Node::Leaf(items) => return items.first(),
                Node::Branch { children, .. } => node = children.first()?,
            }
        }
    }
}

/// The child that holds element `index`, and the element's place in it. An index just past the end is in the last child.
fn child_of(sizes: &[usize], mut index: usize) -> (usize, usize) {
    for (at, &size) in sizes.iter().enumerate() {
        if index < size || at + 1 == sizes.len() {
            return (at, index);
        }
        index -= size;
    }
    (0, index)
}

impl<T: Clone> Node<T> {
    /// Inserts, and returns the right half if the node had to be split.
    fn insert(&mut self, index: usize, item: T) -> Option<Node<T>> {
        match self {
            Node::Leaf(items) => {
                items.insert(index, item);
                if items.len() <= CHUNK {
                    return None;
                }
                // Appending splits off one element only, so that lists built from the front have full leaves.
                let at = if index + 1 == items.len() { CHUNK } else { items.len() / 2 };
                Some(Node::Leaf(items.split_off(at)))
            }
            Node::Branch { len, sizes, children } => {
                *len += 1;
                let (at, index) = child_of(sizes, index);
                sizes[at] += 1;
                let split = Arc::make_mut(&mut children[at]).insert(index, item)?;
                sizes[at] -= split.len();
                sizes.insert(at + 1, split.len());
                children.insert(at + 1, Arc::new(split));
                if children.len() <= CHUNK {
                    return None;
                }
                let cut = if at + 2 == children.len() { CHUNK } else { children.len() / 2 };
                let right = Node::branch(children.split_off(cut));
                sizes.truncate(cut);
                *len -= right.len();
                Some(right)
            }
        }
    }

    fn remove(&mut self, index: usize) -> T {
        match self {
            Node::Leaf(items) => items.remove(index),
            Node::Branch { len, sizes, children } => {
                *len -= 1;
                let (at, index) = child_of(sizes, index);
                sizes[at] -= 1;
                let item = Arc::make_mut(&mut children[at]).remove(index);
                if children[at].width() == 0 {
                    children.remove(at);
                    sizes.remove(at);
                } else if children[at].width() < CHUNK / 4 && children.len() > 1 {
                    let left = at.min(children.len() - 2);
                    if children[left].width() + children[left + 1].width() <= CHUNK {
                        let right = Arc::unwrap_or_clone(children.remove(left + 1));
                        sizes[left] += sizes.remove(left + 1);
                        Arc::make_mut(&mut children[left]).append(right);
                    }
                }
                item
            }
        }
    }

    fn append(&mut self, right: Node<T>) {
        match (self, right) {
            (Node::Leaf(items), Node::Leaf(mut more)) => items.append(&mut more),
            (
                Node::Branch { len, sizes, children },
                Node::Branch { len: more_len, sizes: mut more_sizes, children: mut more },
            ) => {
                *len += more_len;
                sizes.append(&mut more_sizes);
                children.append(&mut more);
            }
            _ => unreachable!("all leaves are equally deep"),
        }
    }
}

impl<T> Tree<T> {
    pub(crate) fn len(&self) -> usize {
        self.root.as_ref().map_or(0, |root| root.len())
    }

    pub(crate) fn get(&self, mut index: usize) -> Option<&T> {
        let mut node = self.root.as_ref()?;
        if index >= node.len() {
            return None;
        }
        loop {
            match &**node {
                Node::Leaf(items) => return items.get(index),
                Node::Branch { sizes, children, .. } => {
                    let (at, rest) = child_of(sizes, index);
                    (node, index) = (&children[at], rest);
                }
            }
        }
    }

    /// The elements, if they are few enough to lie side by side.
    pub(crate) fn as_slice(&self) -> Option<&[T]> {
        match self.root.as_deref() {
            None => Some(&[]),
            Some(Node::Leaf(items)) => Some(items),
            Some(Node::Branch { .. }) => None,
        }
    }

    /// The number of leading elements for which `before` says yes; they must be a prefix.
    pub(crate) fn partition_point(&self, mut before: impl FnMut(&T) -> bool) -> usize {
        let Some(mut node) = self.root.as_ref() else { return 0 };
        let mut passed = 0;
        loop {
            match &**node {
                Node::Leaf(items) => return passed + items.partition_point(before),
                Node::Branch { sizes, children, .. } => {
                    let at = children.partition_point(|child| child.first().is_some_and(&mut before)).max(1) - 1;
                    passed += sizes[..at].iter().sum::<usize>();
                    node = &children[at];
                }
            }
        }
    }

    /// Whether both are the same copy. Two empty trees are.
    pub(crate) fn ptr_eq(&self, other: &Tree<T>) -> bool {
        match (&self.root, &other.root) {
            (None, None) => true,
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }

    pub(crate) fn iter(&self) -> Iter<'_, T> {
        let mut iter = Iter { stack: Vec::new(), leaf: [].iter(), left: self.len() };
        if let Some(root) = &self.root {
            iter.descend(root);
        }
        iter
    }

    /// Calls `visit` with the indices, below both lengths and in order, at which the trees do not share a leaf; until it
    /// says no.
    pub(crate) fn each_unshared(&self, other: &Tree<T>, mut visit: impl FnMut(usize) -> bool) {
        if let (Some(a), Some(b)) = (&self.root, &other.root) {
            unshared(a, b, 0, &mut visit);
        }
    }
}

/// Returns whether to go on.
fn unshared<T>(a: &Arc<Node<T>>, b: &Arc<Node<T>>, offset: usize, visit: &mut impl FnMut(usize) -> bool) -> bool {
    if Arc::ptr_eq(a, b) {
        return true;
    }
    let both = a.len().min(b.len());
    let mut done = 0;
    if let (Node::Branch { children: a, .. }, Node::Branch { children: b, .. }) = (&**a, &**b) {
        for (a, b) in a.iter().zip(b) {
            if !unshared(a, b, offset + done, visit) {
                return false;
            }
            done += a.len().min(b.len());
            if a.len() != b.len() {
                break;
            }
        }
    }
    (done..both).all(|index| visit(offset + index))
}

impl<T: Clone> Tree<T> {
    pub(crate) fn get_mut(&mut self, mut index: usize) -> Option<&mut T> {
        if index >= self.len() {
            return None;
        }
        let mut node = Arc::make_mut(self.root.as_mut()?);
        loop {
            match node {
                Node::Leaf(items) => return items.get_mut(index),
                Node::Branch { sizes, children, .. } => {
                    let (at, rest) = child_of(sizes, index);
                    (node, index) = (Arc::make_mut(&mut children[at]), rest);
                }
            }
        }
    }

    /// Inserts before `index`, which is at most the length.
    pub(crate) fn insert(&mut self, index: usize, item: T) {
        assert!(index <= self.len(), "index {index} is beyond the length {}", self.len());
        let Some(root) = &mut self.root else {
            self.root = Some(Arc::new(Node::Leaf(vec![item])));
            return;
        };
        if let Some(right) = Arc::make_mut(root).insert(index, item) {
            let left = self.root.take().expect("a tree that was split has a root");
            self.root = Some(Arc::new(Node::branch(vec![left, Arc::new(right)])));
        }
    }

    pub(crate) fn push(&mut self, item: T) {
        self.insert(self.len(), item);
    }

    /// Removes and returns element `index`, if there is one.
    pub(crate) fn remove(&mut self, index: usize) -> Option<T> {
        if index >= self.len() {
            return None;
        }
        let root = self.root.as_mut()?;
        let item = Arc::make_mut(root).remove(index);
        while let Node::Branch { children, .. } = &**root
            && children.len() == 1
        {
            let only = children[0].clone();
            *root = only;
        }
        if root.width() == 0 {
            self.root = None;
        }
        Some(item)
    }

    pub(crate) fn truncate(&mut self, len: usize) {
        if len == 0 {
            self.root = None;
        } else if len < self.len() / 2 {
            *self = self.iter().take(len).cloned().collect();
        } else {
            while self.len() > len {
                self.remove(self.len() - 1);
            }
        }
    }
}

impl<T> From<Vec<T>> for Tree<T> {
    /// Takes the vector itself over, if it is short.
    fn from(items: Vec<T>) -> Self {
        match items.len() {
            0 => Tree::default(),
            1..=CHUNK => Tree { root: Some(Arc::new(Node::Leaf(items))) },
            _ => items.into_iter().collect(),
        }
    }
}

impl<T> FromIterator<T> for Tree<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut items = items.into_iter();
        let mut level: Vec<Arc<Node<T>>> = Vec::new();
        loop {
            let leaf: Vec<T> = items.by_ref().take(CHUNK).collect();
            if leaf.is_empty() {
                break;
            }
            level.push(Arc::new(Node::Leaf(leaf)));
        }
        while level.len() > 1 {
            let mut nodes = level.into_iter();
            level = Vec::new();
            loop {
                let children: Vec<_> = nodes.by_ref().take(CHUNK).collect();
                if children.is_empty() {
                    break;
                }
                level.push(Arc::new(Node::branch(children)));
            }
        }
        Tree { root: level.pop() }
    }
}

/// The elements of a tree, in order.
pub(crate) struct Iter<'a, T> {
    /// Children still to visit, one iterator per level above the leaf.
    stack: Vec<std::slice::Iter<'a, Arc<Node<T>>>>,
    leaf: std::slice::Iter<'a, T>,
    left: usize,
}

impl<'a, T> Iter<'a, T> {
    fn descend(&mut self, mut node: &'a Arc<Node<T>>) {
        loop {
            match &**node {
                Node::Leaf(items) => {
                    self.leaf = items.iter();
                    return;
                }
                Node::Branch { children, .. } => {
                    let mut children = children.iter();
                    let Some(first) = children.next() else { return };
                    self.stack.push(children);
                    node = first;
                }
            }
        }
    }
}

impl<'a, T> Iterator for Iter<'a, T> {
    type Item = &'a T;

    fn next(&mut self) -> Option<&'a T> {
        loop {
            if let Some(item) = self.leaf.next() {
                self.left -= 1;
                return Some(item);
            }
            let next = loop {
                match self.stack.last_mut()?.next() {
                    Some(node) => break node,
                    None => self.stack.pop(),
                };
            };
            self.descend(next);
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<T> ExactSizeIterator for Iter<'_, T> {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pseudo-random numbers below a bound, the same in every run.
    fn numbers(mut seed: u64) -> impl FnMut(usize) -> usize {
        move |below| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % below.max(1)
        }
    }

    #[test]
    fn a_tree_does_what_a_vector_does() {
        for seed in 0..20 {
            let mut next = numbers(seed);
            let mut vector: Vec<usize> = (0..next(3000)).collect();
            let mut tree: Tree<usize> = vector.iter().copied().collect();
            let (old_vector, old_tree) = (vector.clone(), tree.clone());
            for step in 0..2000 {
                match next(10) {
                    0..4 => {
                        let at = next(vector.len() + 1);
                        vector.insert(at, step);
                        tree.insert(at, step);
                    }
                    4..8 if !vector.is_empty() => {
                        let at = next(vector.len());
                        assert_eq!(tree.remove(at), Some(vector.remove(at)));
                    }
                    8 if !vector.is_empty() => {
                        let at = next(vector.len());
                        vector[at] = step;
                        *tree.get_mut(at).unwrap() = step;
                    }
                    9 if step % 500 == 0 => {
                        let len = next(vector.len() + 1);
                        vector.truncate(len);
                        tree.truncate(len);
                    }
                    _ => {
                        vector.push(step);
                        tree.push(step);
                    }
                }
            }
            assert_eq!(tree.len(), vector.len());
            assert!(tree.iter().eq(&vector));
            assert!((0..vector.len()).all(|at| tree.get(at) == Some(&vector[at])));
            assert_eq!(tree.get(vector.len()), None);
            // The copy made before is what it was.
            assert!(old_tree.iter().eq(&old_vector));
        }
    }

    #[test]
    fn a_sorted_tree_is_searched() {
        for len in [0, 1, 31, 32, 33, 5000] {
            let tree: Tree<usize> = (0..len).map(|n| n * 2).collect();
            for probe in 0..len * 2 + 2 {
                assert_eq!(tree.partition_point(|&n| n < probe), probe.div_ceil(2).min(len));
            }
        }
    }

    #[test]
    fn copies_share_all_but_the_changed_leaf() {
        let old: Tree<usize> = (0..10_000).collect();
        let mut new = old.clone();
        *new.get_mut(5_000).unwrap() = 1;
        let mut seen = Vec::new();
        old.each_unshared(&new, |index| {
            seen.push(index);
            true
        });
        assert_eq!(seen.len(), CHUNK);
        assert!(seen.contains(&5_000));
        new.push(7);
        seen.clear();
        old.each_unshared(&new, |index| {
            seen.push(index);
            true
        });
        assert!(seen.len() <= 2 * CHUNK, "{}", seen.len());
    }
}
