//! A new barclamp to begin from: small, complete, with a golden test that passes.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;

use crate::names::BarclampName;

/// The files of the scaffold; `NAME` stands for the barclamp's name.
const FILES: &[(&str, &str)] = &[
    (
        "barclamp.yml",
        r"name: NAME
version: 0.1.0
summary: What NAME does, in a line
# Barclamps, or what they provide, that a cluster must use as well.
requires: []
# What this one provides for `requires` of others.
provides: []
# Who does what; `default` says who has the role when the inventory gives it to nobody: all, founder or none.
roles:
  NAME:
    summary: Runs NAME
    default: all
distros: [debian-12, debian-13]
",
    ),
    (
        "schema.yml",
        r"version: 1
# JSON Schema; `secret: true` marks what must be given as a reference to a secret.
attributes:
  type: object
  properties:
    greeting:
      description: What the message of the day says
      type: string
      minLength: 1
      default: Welcome
",
    ),
    (
        "resources.yml",
        r"# What is wanted on the nodes. See docs/writing-a-barclamp.md for all kinds.
resources:
  - id: message
    on: role NAME
    file:
      template: message
      path: /etc/motd.d/NAME
      mode: '0644'
",
    ),
    (
        "checks.yml",
        r"# What `hactl verify` asserts.
checks: []
",
    ),
    (
        "templates/message.tera",
        r"{{ attributes.greeting }} to {{ node.name }}, a node of {{ cluster.name }}.
",
    ),
    (
        "tests/default/cluster.yml",
        r"name: lab
nodes:
  - { name: alpha, links: [10.0.0.1] }
  - { name: beta, links: [10.0.0.2] }
",
    ),
    ("tests/default/attributes.yml", "greeting: Hello\n"),
    ("tests/default/expected/alpha/etc/motd.d/NAME", "Hello to alpha, a node of lab.\n"),
    ("tests/default/expected/beta/etc/motd.d/NAME", "Hello to beta, a node of lab.\n"),
    (
        "tests/default/expected/declarations.txt",
        r"file:/etc/motd.d/NAME@alpha
  mode: 0644 root:root
file:/etc/motd.d/NAME@beta
  mode: 0644 root:root
",
    ),
    ("tests/default/expected/checks.txt", ""),
];

/// The files of a new barclamp, by path inside its folder.
#[must_use]
pub fn scaffold(name: &BarclampName) -> BTreeMap<Utf8PathBuf, String> {
    let named = |text: &str| text.replace("NAME", name.as_str());
    FILES.iter().map(|(path, text)| (Utf8PathBuf::from(named(path)), named(text))).collect()
}
