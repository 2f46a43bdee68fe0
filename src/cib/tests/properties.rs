//! What holds for every tree, every configuration, every text.

use proptest::prelude::*;

use super::generate::configuration;
use crate::cib::*;

fn tree() -> impl Strategy<Value = Element> {
    let name = prop::sample::select(vec!["a", "b", "primitive", "nvpair", "x-y"]);
    let attrs = prop::collection::btree_map("[a-z][a-z_-]{0,5}", "\\PC{0,10}", 0..3)
        .prop_map(|attrs| attrs.into_iter().collect::<Vec<_>>());
    let leaf = (name.clone(), attrs.clone()).prop_map(|(name, attrs)| Element {
        name: name.to_owned(),
        attrs,
        children: Vec::new(),
    });
    leaf.prop_recursive(5, 60, 5, move |inner| {
        let child =
            prop_oneof![6 => inner.prop_map(Node::Element), 1 => "[a-z ]{0,9}".prop_map(Node::Comment)];
        (name.clone(), attrs.clone(), prop::collection::vec(child, 0..5))
            .prop_map(|(name, attrs, children)| Element { name: name.to_owned(), attrs, children })
    })
}

/// Trees where siblings often lack ids, or share names: what a patch cannot always address.
fn rough(tree: &Element) -> Cib {
    let configuration = Element { name: "configuration".to_owned(), ..tree.clone() };
    Cib::from_element(Element::new("cib").with("epoch", "3").with_child(configuration)).unwrap()
}

proptest! {
    #[test]
    fn what_is_rendered_reads_back(tree in tree()) {
        prop_assert_eq!(Element::parse(&tree.render()), Ok(tree.clone()));
        prop_assert_eq!(Element::parse(&tree.render_pretty()), Ok(tree));
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[<>a-z/=\"&;!-]{0,80}") {
        let _ = (Element::parse(&text), Cib::parse(&text), CibPatch::parse(&text), CibVersion::parse(&text));
    }

    #[test]
    fn a_patch_applied_to_the_old_gives_the_new(old in configuration(), new in configuration()) {
        let made = patch_between(&old, &new, &nothing).map_or(Ok(old.clone()), |patch| patch.apply(&old)).unwrap();
        prop_assert_eq!(made.root().child("configuration"), new.root().child("configuration"));
    }

    #[test]
    fn also_where_elements_have_no_ids(old in tree(), new in tree()) {
        let (old, mut new) = (rough(&old), rough(&new));
        if let Some(patch) = patch_between(&old, &new, &nothing) {
            let made = patch.apply(&old).unwrap();
            // Attributes are compared as a set.
            let sorted = |cib: &Cib| {
                let mut root = cib.root().clone();
                sort_attrs(&mut root);
                root.child("configuration").cloned()
            };
            prop_assert_eq!(sorted(&made), sorted(&new), "{}", patch.masked());
        } else {
            new = old.clone();
            prop_assert_eq!(old, new);
        }
    }

    #[test]
    fn a_patch_survives_being_saved(old in configuration(), new in configuration()) {
        if let Some(patch) = patch_between(&old, &new, &nothing) {
            let saved = serde_json::to_string(&patch).unwrap();
            prop_assert_eq!(serde_json::from_str::<CibPatch>(&saved).unwrap(), patch);
        }
    }

    #[test]
    fn what_was_made_is_not_made_again(live in configuration(), desired in configuration()) {
        let ownership = Ownership { adopt: all_ids(&live), ..Ownership::default() };
        let first = diff(&live, &desired, &ownership, &nothing).unwrap();
        prop_assume!(first.conflicts.is_empty());
        let made = first.patch.map_or(Ok(live.clone()), |patch| patch.apply(&live)).unwrap();
        prop_assert_eq!(made.root().child("configuration"), first.target.root().child("configuration"));
        let second = diff(&made, &desired, &Ownership::default(), &nothing).unwrap();
        prop_assert!(second.is_empty(), "{:?} {:?}", second.changes, second.conflicts);
        prop_assert!(second.changes.is_empty());
        // What was not ours is still there, as it was.
        for object in &first.foreign {
            prop_assert_eq!(find(&made, object), find(&live, object));
        }
        // And without us it is as before, but for what was taken over.
        let gone = diff(&made, &Cib::empty("pacemaker-3.9"), &Ownership::default(), &nothing).unwrap();
        prop_assert_eq!(gone.foreign.clone(), first.foreign);
        prop_assert!(gone.target.object(Section::Tags, OWNER_TAG).is_none());
    }
}

fn find<'a>(cib: &'a Cib, object: &ObjectRef) -> Option<&'a Element> {
    cib.section(object.section)?.walk().find(|element| element.id() == Some(object.id.as_str()))
}

fn all_ids(cib: &Cib) -> std::collections::BTreeSet<String> {
    cib.root().walk().filter_map(|element| element.id().map(str::to_owned)).collect()
}

pub(super) fn sort_attrs(element: &mut Element) {
    element.attrs.sort();
    for child in &mut element.children {
        if let Node::Element(child) = child {
            sort_attrs(child);
        }
    }
}
