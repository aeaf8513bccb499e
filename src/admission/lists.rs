//! The contents of the `@/path/list` files that rules name, as the load child or a later reading found them.
//!
//! This module reads no file.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::service::{Admission, List, Source, Table};

/// All lists of a table.
#[derive(Clone, Debug, Default)]
pub struct Lists(HashMap<PathBuf, Rc<[Source]>>);

impl Lists {
    /// The lists of `table`.
    pub fn new(table: &Table) -> Self {
        let mut lists = Self::default();
        for list in &table.lists {
            lists.replace(list.clone());
        }
        lists
    }

    /// All of them, as a table has them.
    pub fn all(&self) -> Vec<List> {
        let list = |(path, sources): (&PathBuf, &Rc<[Source]>)| List {
            path: path.clone(),
            sources: sources.to_vec(),
        };
        self.0.iter().map(list).collect()
    }

    /// New contents. True: they are other ones.
    pub fn replace(&mut self, list: List) -> bool {
        let sources: Rc<[Source]> = list.sources.into();
        let before = self.0.insert(list.path, Rc::clone(&sources));
        before.is_none_or(|before| before != sources)
    }

    /// True if this file is a list.
    pub fn has(&self, path: &Path) -> bool {
        self.0.contains_key(path)
    }

    /// The files, in the order of their names.
    pub fn paths(&self) -> Vec<&Path> {
        let mut paths: Vec<&Path> = self.0.keys().map(PathBuf::as_path).collect();
        paths.sort_unstable();
        paths
    }

    /// True if there is no list at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The sources with those of lists in place of their files.
    pub(super) fn expand<'a>(&'a self, sources: &'a [Source]) -> impl Iterator<Item = &'a Source> {
        sources.iter().flat_map(|source| match source {
            Source::File(path) => self.0.get(path).map_or(&[][..], |list| list),
            Source::Net(_)
            | Source::Any
            | Source::Loopback
            | Source::Private
            | Source::Local
            | Source::Uid(_)
            | Source::Gid(_) => std::slice::from_ref(source),
        })
    }
}

/// True if a rule of `admission` names one of `paths`.
pub(super) fn names(admission: &Admission, paths: &[&Path]) -> bool {
    let lists = [
        admission.allow.as_deref().unwrap_or_default(),
        &admission.deny,
        &admission.exempt,
        &admission.proxy_from,
    ];
    lists
        .into_iter()
        .flatten()
        .any(|source| matches!(source, Source::File(path) if paths.contains(&path.as_path())))
}
