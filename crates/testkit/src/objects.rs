//! A scratch repository in which objects are made that no push by git would bring.

use std::path::Path;

use tempfile::TempDir;

use crate::git::Git;

/// Objects, and packs of exactly those that are asked for.
pub struct Objects {
    directory: TempDir,
    git: Git,
}

impl Objects {
    /// An empty scratch repository of a hash function, `sha1` or `sha256`.
    pub fn new(git: &Git, format: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let format = format!("--object-format={format}");
        git.run(directory.path(), &["init", "-q", "--bare", &format, "."])
            .passes();
        Self {
            directory,
            git: git.clone(),
        }
    }

    /// A scratch repository that sees the objects of `repository` too.
    pub fn beside(git: &Git, repository: &Path, format: &str) -> Self {
        let objects = Self::new(git, format);
        let alternates = objects.directory.path().join("objects/info/alternates");
        let theirs = repository.join("objects");
        std::fs::write(alternates, format!("{}\n", theirs.display())).unwrap();
        objects
    }

    /// Runs git here.
    #[track_caller]
    pub fn git(&self, arguments: &[&str], input: &[u8]) -> String {
        self.git
            .feed(self.directory.path(), arguments, input)
            .passes()
            .text()
    }

    /// Writes a blob.
    #[track_caller]
    pub fn blob(&self, content: &[u8]) -> String {
        self.git(&["hash-object", "-w", "--stdin"], content)
    }

    /// Writes a tree of regular files: name and blob.
    #[track_caller]
    pub fn tree(&self, files: &[(&[u8], &str)]) -> String {
        let mut input = Vec::new();
        for (name, blob) in files {
            input.extend_from_slice(format!("100644 blob {blob}\t").as_bytes());
            input.extend_from_slice(name);
            input.push(0);
        }
        // A blob that is not here may stand in a tree: `--missing`.
        self.git(&["mktree", "-z", "--missing"], &input)
    }

    /// Writes a commit.
    #[track_caller]
    pub fn commit(&self, tree: &str, parents: &[&str], message: &[u8]) -> String {
        let mut arguments = vec!["commit-tree", tree];
        for parent in parents {
            arguments.extend(["-p", parent]);
        }
        self.git(&arguments, message)
    }

    /// Writes an object of any type as it stands, unchecked.
    #[track_caller]
    pub fn literal(&self, kind: &str, content: &[u8]) -> String {
        let arguments = ["hash-object", "-t", kind, "--literally", "-w", "--stdin"];
        self.git(&arguments, content)
    }

    /// A pack of exactly these objects.
    #[track_caller]
    pub fn pack(&self, oids: &[&str]) -> Vec<u8> {
        let input = oids.join("\n") + "\n";
        let arguments = ["pack-objects", "-q", "--stdout"];
        self.git
            .feed(self.directory.path(), &arguments, input.as_bytes())
            .passes()
            .stdout
    }

    /// A thin pack: what `new` has and `old` has not, with deltas against what only `old` has.
    #[track_caller]
    pub fn thin_pack(&self, new: &str, old: &str) -> Vec<u8> {
        let input = format!("{new}\n^{old}\n");
        let arguments = ["pack-objects", "-q", "--stdout", "--revs", "--thin"];
        self.git
            .feed(self.directory.path(), &arguments, input.as_bytes())
            .passes()
            .stdout
    }
}
