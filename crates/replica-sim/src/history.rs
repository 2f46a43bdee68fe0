//! Who holds which line of history: the models, their owners, and what each node may lack.
//!
//! There is one line of history as long as the guards work; without guards a second one begins when a node is promoted
//! beside, or behind, another. Two Primaries write on one line as long as each has what the other was told; when one goes
//! on without the other, that other one *parts*: with guards it may go on reading what it had, and must not be told
//! anything any more that the line lacks; without them it goes on with a line of its own. Knows all nodes at once, which
//! no replica does.

use std::collections::BTreeMap;

use replica::io::ClientRequest;
use replica::wire::WriteBody;
use replica::{ClientError, RequestId};

use crate::disk::{Block, SECTORS, value_at};
use crate::model::{Model, Place, Promise};

/// A request that was not answered yet.
#[derive(Debug)]
struct Asked {
    at: usize,
    line: usize,
    version: u64,
    /// Another node that took the line over has it: it may still be answered.
    kept: bool,
    what: What,
}

#[derive(Debug)]
enum What {
    Write {
        places: Vec<Place>,
        fua: bool,
        before_crash: bool,
    },
    /// When it was asked for, and per sector block, sector, and position in the request.
    Read {
        asked: u64,
        sectors: Vec<(usize, usize, usize)>,
    },
    Flush {
        places: Vec<Place>,
    },
}

/// What an answer was, for those who keep the books.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    /// Nothing that counts.
    Nothing,
    /// A write, or a flush that made something durable.
    Write {
        /// What it vouches for.
        places: Vec<Place>,
        /// In which line of history.
        line: usize,
        /// It is a promise for ever.
        durable: bool,
    },
}

/// All lines of history.
#[derive(Debug)]
pub(crate) struct History {
    lines: Vec<Model>,
    versions: Vec<u64>,
    /// The line that each node's data is of.
    pub(crate) holds: Vec<usize>,
    /// The node lacks something that was answered.
    pub(crate) stale: Vec<bool>,
    /// The node may lack what was answered and not flushed.
    pub(crate) lossy: Vec<bool>,
    /// Answered writes that only this node has.
    pub(crate) solo: Vec<u64>,
    /// The node is Primary.
    pub(crate) owner: Vec<bool>,
    /// The admin ordered to discard this node's data.
    pub(crate) discard: Vec<bool>,
    /// The node is Primary beside another that went on without it.
    pub(crate) parted: Vec<bool>,
    /// Nodes that a fence-peer handler keeps from being promoted until they are in sync again.
    pub(crate) constrained: Vec<bool>,
    asked: BTreeMap<RequestId, Asked>,
    /// The last value written; every write has its own.
    next_value: u64,
    /// Answered writes in all.
    pub(crate) total: u64,
    /// Writes that were asked for while one of another node's was under way to the same sector.
    pub(crate) met: u64,
}

impl History {
    /// Nothing happened yet.
    #[must_use]
    pub(crate) fn new(nodes: usize) -> Self {
        Self {
            lines: vec![Model::default()],
            versions: vec![0],
            holds: vec![0; nodes],
            stale: vec![false; nodes],
            lossy: vec![false; nodes],
            solo: vec![0; nodes],
            owner: vec![false; nodes],
            discard: vec![false; nodes],
            parted: vec![false; nodes],
            constrained: vec![false; nodes],
            asked: BTreeMap::new(),
            next_value: 0,
            total: 0,
            met: 0,
        }
    }

    /// A value that was never written before.
    pub(crate) fn fresh_value(&mut self) -> u64 {
        self.next_value += 1;
        self.next_value
    }

    /// Requests of a node that wait for an answer.
    #[must_use]
    pub(crate) fn waiting(&self, at: usize) -> usize {
        self.asked.values().filter(|asked| asked.at == at).count()
    }

    /// A client asks for something.
    pub(crate) fn asked(&mut self, at: usize, id: RequestId, request: &ClientRequest, hot: &[u64]) {
        let line = self.holds[at];
        let model = &mut self.lines[line];
        let what = match request {
            ClientRequest::Write { offset, body, fua } => {
                let places: Vec<Place> = sectors(*offset, body.bytes(), hot)
                    .map(|(index, sector, position)| {
                        let value = match body {
                            WriteBody::Data(data) => value_at(data, position * 512),
                            WriteBody::Zeroes { .. } => 0,
                        };
                        model.write(at, (index, sector), value)
                    })
                    .collect();
                self.met += u64::from(self.meets(at, line, &places));
                What::Write { places, fua: *fua, before_crash: false }
            }
            ClientRequest::Read { offset, len } => {
                What::Read { asked: model.read_begins(), sectors: sectors(*offset, *len, hot).collect() }
            }
            ClientRequest::Flush => What::Flush { places: model.flush_begins() },
        };
        self.asked.insert(id, Asked { at, line, version: self.versions[line], kept: false, what });
    }

    /// Whether another node's write to one of these places is under way.
    fn meets(&self, at: usize, line: usize, places: &[Place]) -> bool {
        let same = |one: &Place| places.iter().any(|other| (one.0, one.1) == (other.0, other.1));
        self.asked
            .values()
            .filter(|asked| asked.at != at && asked.line == line)
            .any(|asked| matches!(&asked.what, What::Write { places, .. } if places.iter().any(same)))
    }

    /// When the oldest read of this line began that is not answered.
    fn oldest_read(&self, line: usize) -> Option<u64> {
        let began = |asked: &Asked| match asked.what {
            What::Read { asked: began, .. } if asked.line == line => Some(began),
            _ => None,
        };
        self.asked.values().filter_map(began).min()
    }

    /// An answer. Err: it must not be.
    ///
    /// # Errors
    /// A read returned what it must not, or a writer that was replaced went on.
    pub(crate) fn answer(
        &mut self,
        id: RequestId,
        result: &Result<Option<bytes::Bytes>, ClientError>,
        replaced_may_write: bool,
    ) -> Result<Answered, String> {
        let Some(asked) = self.asked.remove(&id) else { return Ok(Answered::Nothing) };
        let line = asked.line;
        let current = self.versions[line] == asked.version;
        let oldest_read = self.oldest_read(line);
        let model = &mut self.lines[line];
        let Ok(data) = result else {
            if matches!(asked.what, What::Flush { .. }) {
                model.flush_failed();
            }
            return Ok(Answered::Nothing);
        };
        match asked.what {
            What::Read { asked: began, sectors } => {
                let data = data.as_deref().unwrap_or_default();
                for (index, sector, position) in sectors {
                    let value = value_at(data, position * 512);
                    if current && !model.may_read(index, sector, began, value) {
                        return Err(format!(
                            "a read at node {} returned {value} for block {index} sector {sector}",
                            asked.at
                        ));
                    }
                }
                Ok(Answered::Nothing)
            }
            _ if !current && replaced_may_write => Ok(Answered::Nothing),
            // It was done before the other one took over, and is told late: the own disk is slow.
            What::Write { .. } if !current && asked.kept => Ok(Answered::Nothing),
            What::Write { .. } if !current => {
                Err(format!("two writers: node {} answered a write after it was replaced", asked.at))
            }
            What::Flush { .. } if !current => Ok(Answered::Nothing),
            What::Write { places, fua: false, before_crash: true } => {
                self.total += 1;
                model.claimed(&places);
                Ok(Answered::Nothing)
            }
            What::Write { places, fua, .. } => {
                self.total += 1;
                model.answered(&places);
                if fua {
                    model.flushed(&places, oldest_read);
                }
                Ok(Answered::Write { places, line, durable: fua })
            }
            What::Flush { places } => {
                let advanced = model.advanced(&places);
                model.flushed(&places, oldest_read);
                Ok(Answered::Write { places: advanced, line, durable: true })
            }
        }
    }

    /// Whether this content lacks one of these.
    pub(crate) fn lacks(&mut self, line: usize, content: &[Block], places: &[Place]) -> bool {
        let model = &mut self.lines[line];
        places.iter().any(|place| model.lacks(*place, content[place.0][place.1]))
    }

    /// What this content of a node breaks of its line's promise.
    pub(crate) fn broken_promise(&self, at: usize, content: &[Block], promise: Promise) -> Option<String> {
        self.lines[self.holds[at]].broken_promise(content, promise)
    }

    /// A node becomes Primary beside another: the line goes on, with both.
    pub(crate) fn join(&mut self, at: usize) {
        self.owner[at] = true;
        self.lossy[at] = false;
    }

    /// The line that a node is on, as long as another is Primary beside it: what is true of it before an answer.
    pub(crate) fn shared_line(&self, at: usize) -> Option<Model> {
        let shared = self.owner.iter().filter(|owner| **owner).count() > 1;
        shared.then(|| self.lines[self.holds[at]].clone())
    }

    /// Another Primary goes on without this one, with an answer that promises nothing here: `before` is what was true before
    /// it. What this one asked for so far belongs to the line that goes on; with `own_line` it goes on too, and takes it along.
    pub(crate) fn part(&mut self, at: usize, own_line: bool, before: Option<Model>) {
        let line = self.holds[at];
        let mut copy = before.unwrap_or_else(|| self.lines[line].clone());
        self.lines[line].close(at);
        for other in (0..self.owner.len()).filter(|other| *other != at) {
            copy.departs(other);
        }
        self.lines.push(copy);
        self.versions.push(self.versions[line]);
        self.holds[at] = self.lines.len() - 1;
        for asked in self.asked.values_mut().filter(|asked| asked.at == at && asked.line == line) {
            if own_line || matches!(asked.what, What::Read { .. }) {
                asked.line = self.holds[at];
            }
        }
        self.parted[at] = !own_line;
    }

    /// The same for one that was promoted after another Primary had gone on: it has what is on its disk, and what may still arrive.
    pub(crate) fn part_behind(&mut self, at: usize, content: &[Block]) {
        let mut behind = Model::fork(content);
        for other in (0..self.owner.len()).filter(|other| *other != at) {
            behind.may_still_arrive(&self.lines[self.holds[at]], other);
        }
        self.part(at, false, Some(behind));
    }

    /// The disk that a Primary elsewhere works with lost its power: reads under way may see either side of it. And
    /// writes under way may have been in its cache and acknowledged before: they are answered on that word, as the
    /// Primary cannot know yet, but like all that was not flushed they are no promise any more.
    pub(crate) fn good_disk_crashed(&mut self, owner: usize) {
        let line = self.holds[owner];
        self.lines[line].only_flushed();
        for asked in self.asked.values_mut().filter(|asked| asked.at == owner) {
            if let What::Write { before_crash, .. } = &mut asked.what {
                *before_crash = true;
            }
        }
        self.asked.retain(|_, asked| asked.at != owner || !matches!(asked.what, What::Read { .. }));
    }

    /// A node sees that it has lost another one. If that is gone or has parted, nothing of it arrives here any more.
    pub(crate) fn noticed(&mut self, at: usize, lost: usize) {
        self.lines[self.holds[at]].departure_noticed(lost);
    }

    /// A node crashed.
    pub(crate) fn crashed(&mut self, at: usize) {
        self.asked.retain(|_, asked| asked.at != at);
        self.lines.iter_mut().for_each(|line| line.departs(at));
        self.owner[at] = false;
        self.discard[at] = false;
        self.parted[at] = false;
        self.lossy[at] = true;
    }

    /// A node was demoted in good order.
    pub(crate) fn demoted(&mut self, at: usize) {
        self.owner[at] = false;
        self.parted[at] = false;
    }

    /// A node is about to take a line over with this content: which writes of others it has.
    fn keep(&mut self, at: usize, line: usize, content: &[Block]) {
        let others = |asked: &&mut Asked| asked.at != at && asked.line == line;
        for asked in self.asked.values_mut().filter(others) {
            if let What::Write { places, .. } = &asked.what {
                let model = &mut self.lines[line];
                let has = |(index, sector, place): &Place| {
                    model.may_read(*index, *sector, *place, content[*index][*sector])
                };
                asked.kept = places.iter().all(has);
            }
        }
    }

    /// A node takes its line over.
    ///
    /// # Errors
    /// Its content breaks the promise.
    pub(crate) fn take_over(&mut self, at: usize, content: &[Block], promise: Promise) -> Result<(), String> {
        let line = self.holds[at];
        self.keep(at, line, content);
        self.versions[line] += 1;
        self.owner[at] = true;
        self.lossy[at] = false;
        match self.lines[line].take_over(content, promise) {
            None => Ok(()),
            Some(problem) => Err(format!("node {at} was promoted, and {problem}")),
        }
    }

    /// A node begins a line of its own, with the data on `from`'s disk, which is another's when its own is not good.
    /// Then that disk carries the new line: it is the only one that does. What a Primary that it still hears has sent (`late`)
    /// may arrive yet.
    pub(crate) fn fork(&mut self, at: usize, from: usize, content: &[Block], late: Option<usize>) {
        let mut line = Model::fork(content);
        if let Some(late) = late {
            line.may_still_arrive(&self.lines[self.holds[late]], late);
        }
        self.lines.push(line);
        self.versions.push(0);
        self.owner[at] = true;
        for node in [at, from] {
            self.holds[node] = self.lines.len() - 1;
            self.lossy[node] = false;
            self.stale[node] = false;
        }
    }

    /// What the data of a node lacks is thrown away, as was allowed.
    pub(crate) fn discarded_for(&mut self, from: usize, content: &[Block], stable: &[Block]) {
        self.lines[self.holds[from]].discard_all_but(content, stable);
        self.stale[from] = false;
    }

    /// A node's data is being replaced by another's: from here on it is of that line, and what it alone had is gone,
    /// as was allowed. Requests that were asked for in its old line are not judged any more.
    pub(crate) fn replaced_by(&mut self, at: usize, from: usize) {
        if self.holds[at] != self.holds[from] {
            self.asked.retain(|_, asked| asked.at != at);
        }
        self.holds[at] = self.holds[from];
        self.solo[at] = 0;
    }

    /// Both nodes have the same now.
    pub(crate) fn in_sync(&mut self, a: usize, b: usize, same_content: bool) {
        if self.holds[a] != self.holds[b] {
            let from = if self.owner[b] && !self.owner[a] { b } else { a };
            self.holds[a + b - from] = self.holds[from];
        }
        for node in [a, b] {
            self.stale[node] = false;
            self.solo[node] = 0;
            self.discard[node] = false;
            self.parted[node] = false;
        }
        if same_content {
            let lossy = self.lossy[a] && self.lossy[b];
            self.lossy[a] = lossy;
            self.lossy[b] = lossy;
        }
    }
}

/// The sectors of a request that the workload uses: block index, sector in it, position in the request.
fn sectors(offset: u64, len: u64, hot: &[u64]) -> impl Iterator<Item = (usize, usize, usize)> + '_ {
    let first = offset / 512;
    (0..len / 512).filter_map(move |position| {
        let sector = first + position;
        let index = hot.binary_search(&(sector / SECTORS as u64)).ok()?;
        Some((index, (sector % SECTORS as u64) as usize, position as usize))
    })
}
