//! Which refs a view has, by their full names.

use refwarden_model::RefName;
use refwarden_policy::{Glob, GlobError};

/// Filters that a ref has to pass all of; without any, every ref passes.
#[derive(Clone, Debug, Default)]
pub struct RefFilters {
    filters: Vec<Filter>,
    text: String,
}

#[derive(Clone, Debug)]
struct Filter {
    refs: Vec<Glob>,
    hide: Vec<Glob>,
}

impl RefFilters {
    /// Compiles filters: each shows what matches one of its first globs, or everything where
    /// there is none, but for what matches one of its second.
    ///
    /// # Errors
    ///
    /// [`GlobError`] for the first glob that is none.
    pub fn new<'f>(
        filters: impl IntoIterator<Item = (&'f [String], &'f [String])>,
    ) -> Result<Self, GlobError> {
        let compile = |globs: &[String]| {
            let mut globs: Vec<Glob> = globs
                .iter()
                .map(|it| Glob::new(it))
                .collect::<Result<_, _>>()?;
            globs.sort_by(|a, b| a.source().cmp(b.source()));
            Ok::<_, GlobError>(globs)
        };
        let mut compiled = Self::default();
        let mut texts = Vec::new();
        for (refs, hide) in filters {
            let filter = Filter {
                refs: compile(refs)?,
                hide: compile(hide)?,
            };
            if filter.refs.is_empty() && filter.hide.is_empty() {
                continue;
            }
            // No glob holds a line break, so different filters have different texts.
            let mut text = String::from("filter\n");
            for (word, globs) in [("refs ", &filter.refs), ("hide ", &filter.hide)] {
                for glob in globs {
                    text.extend([word, glob.source(), "\n"]);
                }
            }
            texts.push(text);
            compiled.filters.push(filter);
        }
        texts.sort_unstable();
        texts.dedup();
        compiled.text = texts.concat();
        Ok(compiled)
    }

    /// Whether every ref passes.
    pub fn is_empty(&self) -> bool {
        self.filters.is_empty()
    }

    /// Whether a view has the ref of that name.
    pub fn shows(&self, name: &RefName) -> bool {
        let name = name.as_bytes();
        let any = |globs: &[Glob]| globs.iter().any(|glob| glob.is_match(name));
        self.filters
            .iter()
            .all(|it| (it.refs.is_empty() || any(&it.refs)) && !any(&it.hide))
    }

    /// What tells these filters from others, whatever their order; empty where there is none.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(all: &[(&[&str], &[&str])]) -> RefFilters {
        let owned = |globs: &[&str]| globs.iter().map(|&it| it.to_owned()).collect::<Vec<_>>();
        let all: Vec<_> = all.iter().map(|(a, b)| (owned(a), owned(b))).collect();
        RefFilters::new(all.iter().map(|(a, b)| (&a[..], &b[..]))).unwrap()
    }

    #[test]
    fn a_ref_passes_all_filters() {
        let (heads, not_wip) = (["refs/heads/**"], ["refs/heads/wip/**"]);
        let one = (&heads[..], &not_wip[..]);
        let two = (&["refs/heads/*", "refs/tags/*"][..], &[][..]);
        for (name, first, both) in [
            ("refs/heads/main", true, true),
            ("refs/heads/wip/x", false, false),
            ("refs/heads/a/b", true, false),
            ("refs/tags/v1", false, false),
        ] {
            let name = RefName::parse(name.as_bytes()).unwrap();
            assert_eq!(filters(&[one]).shows(&name), first, "{name}");
            assert_eq!(filters(&[one, two]).shows(&name), both, "{name}");
            assert!(filters(&[]).shows(&name));
        }
    }

    #[test]
    fn texts_tell_filters_apart_and_order_does_not_matter() {
        let (one, two) = ((&["a", "b"][..], &["c"][..]), (&["a"][..], &["b", "c"][..]));
        let swapped = (&["b", "a"][..], &["c"][..]);
        assert_eq!(filters(&[one, two]).text(), filters(&[two, swapped]).text());
        assert_ne!(filters(&[one]).text(), filters(&[two]).text());
        assert_ne!(filters(&[one]).text(), filters(&[one, two]).text());
        assert_eq!(filters(&[(&[], &[])]).text(), "");
        assert!(RefFilters::new([(&[String::new()][..], &[][..])]).is_err());
    }
}
