//! The order in which commits and tags are rewritten: each after all that it names.

use std::collections::HashMap;

use refwarden_gitio::objects::Kind;
use refwarden_model::Oid;

use super::graph::Graph;
use crate::mask;

/// Groups of commits and tags that name each other, by index, each after all that it names. All
/// but crafted ones stand alone: a name in full cannot be known before the object is made, and
/// only an abbreviated one can be made to fit. `noted` tells on what commits of notes have notes.
pub(super) fn groups(graph: &Graph, noted: &HashMap<Oid, Vec<Oid>>) -> Vec<Vec<usize>> {
    let mut search = Search {
        graph,
        noted,
        state: HashMap::new(),
        stack: Vec::new(),
        groups: Vec::new(),
        next: 0,
    };
    for (index, object) in graph.objects.iter().enumerate() {
        if matches!(object.kind, Kind::Commit | Kind::Tag) {
            search.from(index);
        }
    }
    search.groups
}

/// The commits and tags that a commit or tag links to, may mention, or has notes on.
fn named(graph: &Graph, noted: &HashMap<Oid, Vec<Oid>>, index: usize) -> Vec<usize> {
    let Some(object) = graph.objects.get(index) else {
        return Vec::new();
    };
    let mut oids = match object.kind {
        Kind::Commit => mask::links(&object.bytes).parents,
        _ => mask::target(&object.bytes).into_iter().collect(),
    };
    oids.extend(noted.get(&object.oid).into_iter().flatten());
    // Headers too: a whole name in one of them is looked up as well.
    for span in mask::mentions(&object.bytes, graph.format) {
        let digits = object.bytes.get(span).unwrap_or_default();
        let digits = String::from_utf8_lossy(digits).to_ascii_lowercase();
        oids.extend(graph.beginning(&digits).map(|it| it.oid));
    }
    let mut found: Vec<usize> = oids
        .into_iter()
        .filter_map(|oid| graph.index(oid))
        .filter(|&it| {
            let kind = graph.objects.get(it).map(|it| it.kind);
            matches!(kind, Some(Kind::Commit | Kind::Tag))
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Strongly connected components (Tarjan 1972), without recursion.
struct Search<'g> {
    graph: &'g Graph,
    noted: &'g HashMap<Oid, Vec<Oid>>,
    state: HashMap<usize, State>,
    stack: Vec<usize>,
    groups: Vec<Vec<usize>>,
    next: usize,
}

struct State {
    number: usize,
    low: usize,
    on_stack: bool,
}

impl Search<'_> {
    fn enter(&mut self, index: usize) -> (usize, std::vec::IntoIter<usize>) {
        let state = State {
            number: self.next,
            low: self.next,
            on_stack: true,
        };
        self.state.insert(index, state);
        self.next += 1;
        self.stack.push(index);
        (index, named(self.graph, self.noted, index).into_iter())
    }

    fn lower(&mut self, index: usize, low: usize) {
        if let Some(state) = self.state.get_mut(&index) {
            state.low = state.low.min(low);
        }
    }

    fn from(&mut self, root: usize) {
        if self.state.contains_key(&root) {
            return;
        }
        let mut open = vec![self.enter(root)];
        while let Some((index, rest)) = open.last_mut() {
            let index = *index;
            if let Some(child) = rest.next() {
                match self.state.get(&child) {
                    None => open.push(self.enter(child)),
                    Some(state) if state.on_stack => self.lower(index, state.number),
                    Some(_) => {}
                }
                continue;
            }
            open.pop();
            let (number, low) = match self.state.get(&index) {
                Some(state) => (state.number, state.low),
                None => continue,
            };
            if let Some((above, _)) = open.last() {
                self.lower(*above, low);
            }
            if number == low {
                self.close(index);
            }
        }
    }

    fn close(&mut self, root: usize) {
        let mut group = Vec::new();
        while let Some(index) = self.stack.pop() {
            if let Some(state) = self.state.get_mut(&index) {
                state.on_stack = false;
            }
            group.push(index);
            if index == root {
                break;
            }
        }
        self.groups.push(group);
    }
}
