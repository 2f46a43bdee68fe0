//! From items to instances: one per node and repetition, with the context that its texts are rendered in.

use serde_json::{Map, Value};
use tera::Context;

use super::bundle::Barclamp;
use super::checks::{CheckItem, DeclaredCheck, Expect};
use super::context;
use super::error::BarclampError;
use super::item::{ForEach, Item, Kind};
use super::templates::{OMIT, RenderError};
use super::view::{ClusterView, NodeView};
use super::volumes;

/// What stands for every entry in the path of a `for_each`.
const ANY: &str = "*";
/// Most instances of one item.
const MAX_INSTANCES: usize = 10_000;

/// One item for one node and one repetition.
pub(super) struct Instance<'a> {
    /// Whose it is.
    pub(super) barclamp: &'a Barclamp,
    /// What it is.
    pub(super) item: &'a Item,
    /// The node; `None` for what belongs to the cluster.
    pub(super) node: Option<&'a NodeView>,
    /// What it is repeated for, if it is.
    pub(super) key: Option<String>,
    context: Context,
}

impl Instance<'_> {
    /// An error of this instance.
    pub(super) fn error(&self, message: impl Into<String>) -> BarclampError {
        let node = self.node.map(|node| format!(" on {}", node.name)).unwrap_or_default();
        let key = self.key.as_ref().map(|key| format!(" for {key}")).unwrap_or_default();
        BarclampError::Declaration {
            name: self.barclamp.manifest.name.clone(),
            what: format!("item `{}`{key}{node}", self.item.id),
            message: message.into(),
        }
    }

    fn render_error(&self, error: &RenderError) -> BarclampError {
        self.error(error.to_string())
    }

    /// A text of the item, rendered.
    pub(super) fn text(&self, text: &str) -> Result<String, BarclampError> {
        let rendered = self
            .barclamp
            .templates
            .render_text(text, &self.context)
            .map_err(|error| self.render_error(&error))?;
        if rendered == OMIT {
            return Err(self.error(format!("`{text}` cannot be omitted")));
        }
        Ok(rendered)
    }

    /// Texts of the item, rendered; those that come out as `omit` are left out.
    pub(super) fn texts<'t>(
        &self,
        texts: impl IntoIterator<Item = &'t String>,
    ) -> Result<Vec<String>, BarclampError> {
        let render = |text: &String| {
            self.barclamp
                .templates
                .render_text(text, &self.context)
                .map_err(|error| self.render_error(&error))
        };
        let rendered: Result<Vec<String>, BarclampError> = texts.into_iter().map(render).collect();
        Ok(rendered?.into_iter().filter(|text| text != OMIT).collect())
    }

    /// A file template, rendered, with what else it may see.
    pub(super) fn template(
        &self,
        template: &str,
        more: Option<(&str, &Value)>,
    ) -> Result<String, BarclampError> {
        let mut context = self.context.clone();
        if let Some((name, value)) = more {
            context.insert(name.to_owned(), value);
        }
        self.barclamp.templates.render(template, &context).map_err(|error| self.render_error(&error))
    }

    /// A text of the inventory's own, rendered.
    pub(super) fn foreign(&self, text: &str) -> Result<String, BarclampError> {
        let rendered = self.barclamp.templates.render_foreign(text, &self.context);
        rendered.map_err(|error| self.render_error(&error))
    }

    /// Data of the item, rendered.
    pub(super) fn data(&self, data: &Value) -> Result<Value, BarclampError> {
        self.barclamp.templates.render_data(data, &self.context).map_err(|error| self.render_error(&error))
    }
}

/// All instances of a barclamp's items whose `when` holds.
pub(super) fn instances<'a>(
    barclamp: &'a Barclamp,
    view: &'a ClusterView,
) -> Result<Vec<Instance<'a>>, Vec<BarclampError>> {
    instances_of(barclamp, view, |_| true)
}

/// The instances of items of the kinds that are asked for.
pub(super) fn instances_of<'a>(
    barclamp: &'a Barclamp,
    view: &'a ClusterView,
    wanted: impl Fn(&Kind) -> bool,
) -> Result<Vec<Instance<'a>>, Vec<BarclampError>> {
    let base = context::base(barclamp, view);
    // Made once and shared: what each instance adds is its node and what it is repeated for.
    let shared = Context::from_serialize(&base).map_err(|error| {
        vec![BarclampError::Declaration {
            name: barclamp.manifest.name.clone(),
            what: "the cluster as templates see it".to_owned(),
            message: error.to_string(),
        }]
    })?;
    let mut instances = Vec::new();
    let mut errors = Vec::new();
    for item in barclamp.items.iter().filter(|item| wanted(&item.kind)) {
        match of_item(barclamp, item, view, &base, &shared) {
            Ok(more) => instances.extend(more),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(instances) } else { Err(errors) }
}

fn of_item<'a>(
    barclamp: &'a Barclamp,
    item: &'a Item,
    view: &'a ClusterView,
    base: &Map<String, Value>,
    shared: &Context,
) -> Result<Vec<Instance<'a>>, BarclampError> {
    let nodes: Vec<Option<&NodeView>> = if item.kind.is_per_node() {
        context::nodes_on(barclamp, view, &item.on).into_iter().map(Some).collect()
    } else {
        vec![None]
    };
    let repetitions: Vec<Option<(String, Value)>> = match &item.for_each {
        None => vec![None],
        Some(for_each) => repetitions(for_each, barclamp, view, base).into_iter().map(Some).collect(),
    };
    let mut instances = Vec::new();
    for node in &nodes {
        for repetition in &repetitions {
            let mut context = shared.clone();
            if let Some(node) = node {
                context.insert("node", &context::node(node, view));
            }
            if let Some((_, value)) = repetition {
                context.insert("item", value);
            }
            let key = repetition.as_ref().map(|(key, _)| key.clone());
            let instance = Instance { barclamp, item, node: *node, key, context };
            let holds = item
                .when
                .as_deref()
                .map_or(Ok(true), |when| barclamp.templates.holds(when, &instance.context));
            if holds.map_err(|error| instance.render_error(&error))? {
                instances.push(instance);
            }
            if instances.len() > MAX_INSTANCES {
                return Err(BarclampError::Declaration {
                    name: barclamp.manifest.name.clone(),
                    what: format!("item `{}`", item.id),
                    message: format!("it is declared more than {MAX_INSTANCES} times"),
                });
            }
        }
    }
    Ok(instances)
}

/// A check for one cluster: one per node where it is for single nodes.
pub(super) fn checks_of(
    barclamp: &Barclamp,
    check: &CheckItem,
    view: &ClusterView,
) -> Result<Vec<DeclaredCheck>, BarclampError> {
    let wrong = |message: String| BarclampError::Declaration {
        name: barclamp.manifest.name.clone(),
        what: format!("check `{}`", check.id),
        message,
    };
    let nodes: Vec<Option<&NodeView>> = match check.expect {
        Expect::Unit { .. } => context::nodes_on(barclamp, view, &check.on).into_iter().map(Some).collect(),
        Expect::Replication { .. } => view.nodes.iter().map(Some).collect(),
        _ => vec![None],
    };
    let mut checks = Vec::new();
    for node in nodes {
        let mut values = context::base(barclamp, view);
        if let Some(node) = node {
            values.insert("node".to_owned(), context::node(node, view));
        }
        let context = Context::from_serialize(&values).map_err(|error| wrong(error.to_string()))?;
        let holds = check.when.as_deref().map_or(Ok(true), |when| barclamp.templates.holds(when, &context));
        if !holds.map_err(|error| wrong(error.to_string()))? {
            continue;
        }
        let expect = check.expect.map(|text| barclamp.templates.render_text(text, &context));
        let expect = match (expect, node) {
            (Ok(Expect::Replication { .. }), Some(node)) => {
                let volumes = volumes::on_node(barclamp, view, &node.name);
                if volumes.is_empty() {
                    continue;
                }
                Ok(Expect::Replication { volumes })
            }
            (expect, _) => expect,
        };
        checks.push(DeclaredCheck {
            barclamp: barclamp.manifest.name.clone(),
            id: check.id.clone(),
            summary: check.summary.clone(),
            node: node.map(|node| node.name.clone()),
            expect: expect.map_err(|error| wrong(error.to_string()))?,
        });
    }
    Ok(checks)
}

/// What an item is repeated for, with a key for each.
fn repetitions(
    for_each: &ForEach,
    barclamp: &Barclamp,
    view: &ClusterView,
    base: &Map<String, Value>,
) -> Vec<(String, Value)> {
    let of_nodes = |wanted: &dyn Fn(&NodeView) -> bool| {
        view.nodes
            .iter()
            .filter(|node| wanted(node))
            .map(|node| (node.name.to_string(), context::node(node, view)))
            .collect()
    };
    match for_each {
        ForEach::Node => of_nodes(&|_| true),
        ForEach::Role(role) => {
            let with_role = context::with_role(barclamp, view, role);
            of_nodes(&|node| with_role.contains(&node.name))
        }
        ForEach::Attribute(path) => {
            let attributes = base.get("attributes").unwrap_or(&Value::Null);
            nested(attributes, path)
        }
    }
}

/// The entries that a path leads to. `*` in it stands for every entry of what it has led to so far: the item then has that
/// entry as its `parent`, and the key begins with the entry's.
fn nested(value: &Value, path: &[String]) -> Vec<(String, Value)> {
    let star = path.iter().position(|key| key == ANY);
    let (here, rest) = path.split_at(star.unwrap_or(path.len()));
    let found = entries(here.iter().try_fold(value, |value, key| value.get(key)));
    let Some(rest) = rest.get(1..) else { return found };
    let mut all = Vec::new();
    for (parent_key, parent) in found {
        for (key, mut inner) in nested(&parent["value"], rest) {
            if let Some(inner) = inner.as_object_mut() {
                inner.insert("parent".to_owned(), parent.clone());
            }
            all.push((format!("{parent_key}-{key}"), inner));
        }
    }
    all
}

/// Entries of a mapping or list as `{ key, value }`.
fn entries(value: Option<&Value>) -> Vec<(String, Value)> {
    let entry = |key: String, value: &Value| (key.clone(), serde_json::json!({ "key": key, "value": value }));
    match value {
        Some(Value::Object(object)) => object.iter().map(|(key, value)| entry(key.clone(), value)).collect(),
        Some(Value::Array(items)) => {
            items.iter().enumerate().map(|(index, value)| entry(index.to_string(), value)).collect()
        }
        _ => Vec::new(),
    }
}
