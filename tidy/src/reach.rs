//! Files that no `mod` line reaches: the compiler never sees them, and nobody notices.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

/// All files that a crate's root file reaches through `mod name;` lines.
pub fn reached(root: &Path) -> io::Result<BTreeSet<PathBuf>> {
    let mut reached = BTreeSet::new();
    let mut open = vec![root.to_owned()];
    while let Some(file) = open.pop() {
        if !reached.insert(file.clone()) {
            continue;
        }
        let text = fs::read_to_string(&file)?;
        let folder = children_of(&file);
        for name in modules(&text) {
            let flat = folder.join(format!("{name}.rs"));
            let nested = folder.join(&name).join("mod.rs");
            open.extend([flat, nested].into_iter().filter(|path| path.is_file()));
        }
        open.extend(explicit(&text).map(|name| file.parent().unwrap_or(Path::new("")).join(name)));
    }
    Ok(reached)
}

/// The folder in which a file's child modules lie.
fn children_of(file: &Path) -> PathBuf {
    let parent = file.parent().unwrap_or(Path::new(""));
    match file.file_stem().and_then(|stem| stem.to_str()) {
        Some("mod" | "lib" | "main") | None => parent.to_owned(),
        Some(stem) => {
            let own = parent.join(stem);
            if own.is_dir() { own } else { parent.to_owned() }
        }
    }
}

/// The names in `mod name;` lines.
fn modules(text: &str) -> impl Iterator<Item = String> {
    text.lines().filter_map(|line| {
        let line = line.trim();
        let line = line
            .strip_prefix("pub ")
            .or_else(|| line.split_once(") ").map(|(_, rest)| rest))
            .unwrap_or(line);
        Some(line.strip_prefix("mod ")?.strip_suffix(';')?.to_owned())
    })
}

/// The files in `#[path = "..."]` lines.
fn explicit(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("#[path = \"")?.strip_suffix("\"]"))
}
