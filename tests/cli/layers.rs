//! The crates depend on one another only as the table in `crates/README.md` says.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// What each crate may depend on, from the table.
fn allowed(map: &str) -> BTreeMap<String, BTreeSet<String>> {
    map.lines()
        .filter_map(|line| {
            let cells: Vec<&str> = line.strip_prefix("| `")?.split('|').map(str::trim).collect();
            let name = cells.first()?.trim_end_matches('`').to_owned();
            let may = match *cells.get(2)? {
                "nothing" => BTreeSet::new(),
                names => names.split(", ").map(|short| format!("ldbg-{short}")).collect(),
            };
            Some((name, may))
        })
        .collect()
}

/// The crates of this workspace that a manifest names outside its dev-dependencies.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let mut counts = false;
    let mut found = BTreeSet::new();
    for line in manifest.lines() {
        if let Some(section) = line.strip_prefix('[') {
            counts = section.contains("dependencies") && !section.contains("dev-dependencies");
        } else if counts && line.starts_with("ldbg-") {
            found.extend(line.split(['.', ' ', '=']).next().map(str::to_owned));
        }
    }
    found
}

#[test]
fn every_crate_keeps_to_the_layer_table() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("crates/");
    let allowed = allowed(&fs::read_to_string(crates.join("README.md")).expect("crates/README.md"));
    let mut seen = BTreeSet::new();
    let mut wrong = Vec::new();
    for entry in fs::read_dir(crates).expect("crates/").map(|entry| entry.expect("an entry").path()) {
        let Ok(manifest) = fs::read_to_string(entry.join("Cargo.toml")) else { continue };
        let name = entry.file_name().expect("a name").to_string_lossy().into_owned();
        match allowed.get(&name) {
            None => wrong.push(format!("{name} has no line in the table")),
            Some(may) => wrong.extend(
                dependencies(&manifest).difference(may).map(|needs| format!("{name} depends on {needs}")),
            ),
        }
        seen.insert(name);
    }
    wrong.extend(allowed.keys().filter(|name| !seen.contains(*name)).map(|name| format!("no crate {name}")));
    assert_eq!(wrong, Vec::<String>::new(), "crates/README.md says otherwise");
}

#[test]
fn unsafe_code_stays_in_ldbg_sys() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("crates/");
    let mut folders = vec![crates.to_owned()];
    let mut lifting = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs")
                && fs::read_to_string(&path).expect("a source file").contains("unsafe_code")
            {
                let inside = path.strip_prefix(crates).expect("below crates/");
                lifting.extend(inside.iter().next().map(|name| name.to_string_lossy().into_owned()));
            }
        }
    }
    assert_eq!(lifting, BTreeSet::from(["ldbg-sys".to_owned()]), "crates that lift the unsafe_code lint");
}
