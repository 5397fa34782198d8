//! What a thread has given to the tensor core: in order, and performed when the timing says so.
//!
//! Copies and products of one thread happen in the order of issue, although only some pairs must (PTX ISA 9.7.16.6.2):
//! that pairs outside of those are ordered by something else is for the checker, which finds it whatever happens first.

use super::Seen;
use super::multiply::{Product, ScaleCopy};
use crate::machine::cluster::{Cluster, Step};
use crate::options::{ScaleCopies, Timing};
use crate::race::{Clock, Epoch, View};
use crate::report::ReportKind;
use std::collections::VecDeque;

/// Operations of one kind, numbered.
#[derive(Clone, Copy, Debug)]
struct Sequence {
    actor: u32,
    count: u32,
}

/// Products with the same one are pipelined: same group, accumulator and shape (PTX ISA 9.7.16.6.2).
pub(super) type Signature = (u32, (u32, u32), u32, u32);

/// What waits to be performed.
#[derive(Debug)]
pub(super) enum Work {
    Copy(Box<ScaleCopy>),
    Product(Box<Product>),
    Commit(Commit),
}

/// A commit: arrives at an mbarrier of each CTA when everything before it is complete.
#[derive(Debug)]
pub(super) struct Commit {
    pub(super) line: u32,
    pub(super) ctas: Vec<usize>,
    pub(super) barrier: u32,
    /// What is complete then.
    done: Vec<Sequence>,
    /// Its number among the commits to this mbarrier.
    own: Sequence,
    known: (Clock, Clock),
}

/// The order in which a thread's operations go.
#[derive(Debug)]
pub(super) struct Pipe {
    /// The thread's actor.
    issuer: u32,
    copies: Sequence,
    /// Copies before the last product: the next copy comes after them.
    copies_used: u32,
    products: Vec<(Signature, Sequence)>,
    /// Commits by mbarrier. Arrivals at different ones may come in any order.
    commits: Vec<(u32, Sequence)>,
    queue: VecDeque<Work>,
    /// What the thread knew when it issued the last one.
    known: (Clock, Clock),
}

/// The tensor cores of a cluster.
#[derive(Debug, Default)]
pub(crate) struct Engine {
    /// The `.cta_group` of the kernel, and the line that said so.
    pub(super) group: Option<(u32, u32)>,
    pipes: Vec<Pipe>,
}

impl Engine {
    /// Whether an actor is one of a tensor core.
    pub(crate) fn has(&self, actor: u32) -> bool {
        self.pipes.iter().any(|pipe| {
            let mut products = pipe.products.iter();
            pipe.copies.actor == actor || products.any(|(_, sequence)| sequence.actor == actor)
        })
    }
}

impl Cluster<'_> {
    /// The pipe of a thread.
    fn pipe_of(&mut self, issuer: u32) -> usize {
        if let Some(at) = self.tensor.pipes.iter().position(|pipe| pipe.issuer == issuer) {
            return at;
        }
        let copies = Sequence { actor: self.new_actor(), count: 0 };
        self.tensor.pipes.push(Pipe {
            issuer,
            copies,
            copies_used: 0,
            products: Vec::new(),
            commits: Vec::new(),
            queue: VecDeque::new(),
            known: (Clock::default(), Clock::default()),
        });
        self.tensor.pipes.len() - 1
    }

    fn new_actor(&mut self) -> u32 {
        self.actors += 1;
        self.actors - 1
    }

    /// Numbers a copy, and lets it come after what the pipeline keeps before it.
    pub(super) fn number_copy(&mut self, view: &View, seen: &mut Seen, line: u32) -> Epoch {
        let stays_behind = self.env.options.scale_copies == ScaleCopies::StayBehind;
        let at = self.pipe_of(view.issuer);
        let pipe = &mut self.tensor.pipes[at];
        let known = &mut seen.view.time.base;
        known.raise(pipe.copies.actor, pipe.copies_used);
        if stays_behind {
            for (_, products) in &pipe.products {
                known.raise(products.actor, products.count);
            }
        }
        pipe.copies.count += 1;
        pipe.epoch(view, pipe.copies, line)
    }

    /// Numbers a product, and lets it come after what the pipeline keeps before it.
    pub(super) fn number_product(
        &mut self,
        view: &View,
        seen: &mut Seen,
        signature: Signature,
        line: u32,
    ) -> Epoch {
        let at = self.pipe_of(view.issuer);
        let same = |(other, _): &(Signature, Sequence)| *other == signature;
        let found = self.tensor.pipes[at].products.iter().position(same);
        let index = if let Some(index) = found {
            index
        } else {
            let sequence = Sequence { actor: self.new_actor(), count: 0 };
            self.tensor.pipes[at].products.push((signature, sequence));
            self.tensor.pipes[at].products.len() - 1
        };
        let pipe = &mut self.tensor.pipes[at];
        let known = &mut seen.view.time.base;
        known.raise(pipe.copies.actor, pipe.copies.count);
        pipe.copies_used = pipe.copies.count;
        let sequence = &mut pipe.products[index].1;
        known.raise(sequence.actor, sequence.count);
        sequence.count += 1;
        let sequence = *sequence;
        pipe.epoch(view, sequence, line)
    }

    /// Numbers a commit of a pipe to an mbarrier.
    fn number_commit(&mut self, at: usize, barrier: u32) -> Sequence {
        let commits = &self.tensor.pipes[at].commits;
        let found = commits.iter().position(|(other, _)| *other == barrier);
        let index = found.unwrap_or(commits.len());
        if found.is_none() {
            let sequence = Sequence { actor: self.new_actor(), count: 0 };
            self.tensor.pipes[at].commits.push((barrier, sequence));
        }
        let sequence = &mut self.tensor.pipes[at].commits[index].1;
        sequence.count += 1;
        *sequence
    }

    /// A commit of everything that a thread of CTA `home` has issued. No other CTA may leave before it is known to have
    /// arrived there.
    pub(super) fn commit(
        &mut self,
        (issuer, home): (u32, usize),
        (ctas, barrier): (Vec<usize>, u32),
        line: u32,
    ) -> Commit {
        let at = self.pipe_of(issuer);
        let own = self.number_commit(at, barrier);
        for &cta in ctas.iter().filter(|&&cta| cta != home) {
            let Sequence { actor, count } = own;
            let epoch = Epoch { actor, clock: count, line, ..Epoch::default() };
            self.ctas[cta].touched.insert(actor, epoch);
        }
        let pipe = &self.tensor.pipes[at];
        let done = pipe.products.iter().map(|(_, products)| *products).chain([pipe.copies]);
        Commit { line, ctas, barrier, done: done.collect(), own, known: pipe.known.clone() }
    }

    /// Queues work, or performs it at once.
    pub(super) fn give(&mut self, issuer: u32, work: Work) -> Step<()> {
        let at = self.pipe_of(issuer);
        self.tensor.pipes[at].queue.push_back(work);
        match self.env.options.timing {
            Timing::Early => self.drain(at, usize::MAX),
            Timing::Late => Ok(()),
            Timing::Random(_) => {
                let some = self.dice().is_multiple_of(4);
                let count = if some { self.dice() as usize % 8 } else { 0 };
                self.drain(at, count)
            }
        }
    }

    /// Performs the first of a pipe's queue.
    fn drain(&mut self, at: usize, count: usize) -> Step<()> {
        for _ in 0..count {
            let Some(work) = self.tensor.pipes[at].queue.pop_front() else { return Ok(()) };
            match work {
                Work::Copy(copy) => self.copy_scales(&copy)?,
                Work::Product(product) => self.multiply_tensor(&product)?,
                Work::Commit(commit) => self.arrive_for(&commit)?,
            }
        }
        Ok(())
    }

    /// Now and then, something happens by itself. Says whether anything did.
    pub(crate) fn tensor_turn(&mut self) -> Step<bool> {
        let pipes = &self.tensor.pipes;
        let busy: Vec<usize> = (0..pipes.len()).filter(|&i| !pipes[i].queue.is_empty()).collect();
        if busy.is_empty() || !self.dice().is_multiple_of(4) {
            return Ok(false);
        }
        let at = busy[self.dice() as usize % busy.len()];
        let count = self.dice() as usize % 4 + 1;
        self.drain(at, count)?;
        Ok(true)
    }

    /// Performs a pipe's work up to a commit that somebody waits for; false if there is none.
    pub(crate) fn tensor_awaited(&mut self) -> Step<bool> {
        let awaited = self.awaited_barriers();
        let due = |work: &Work| match work {
            Work::Commit(commit) => {
                awaited.iter().any(|(cta, at)| *at == commit.barrier && commit.ctas.contains(cta))
            }
            _ => false,
        };
        let pipes = self.tensor.pipes.iter().enumerate();
        let mut found = pipes.filter_map(|(at, pipe)| Some((at, pipe.queue.iter().position(due)?)));
        let Some((at, index)) = found.next() else { return Ok(false) };
        self.drain(at, index + 1)?;
        Ok(true)
    }

    fn arrive_for(&mut self, commit: &Commit) -> Step<()> {
        let (line, at) = (commit.line, commit.barrier);
        for &cta in &commit.ctas {
            if self.ctas[cta].live == 0 {
                let message = format!("a commit arrives in CTA {cta}, which has exited");
                return self.fatal(ReportKind::PeerExited, line, message);
            }
            let Some(barrier) = self.ctas[cta].barriers.get_mut(&at) else {
                let message = format!("no mbarrier lives at {at:#x} of CTA {cta} any more");
                return self.fatal(ReportKind::Barrier, line, message);
            };
            // The commit implies fence::before_thread_sync (PTX ISA 9.7.16.12).
            barrier.gathering.join(&commit.known.0);
            barrier.gathering_proxy.join(&commit.known.1);
            for sequence in commit.done.iter().chain([&commit.own]) {
                barrier.gathering.raise(sequence.actor, sequence.count);
            }
            let result = barrier.arrive(1);
            barrier.complete();
            if let Err(what) = result {
                let message = format!("mbarrier at {at:#x}: {what}");
                return self.fatal(ReportKind::Barrier, line, message);
            }
        }
        Ok(())
    }
}

impl Pipe {
    fn epoch(&mut self, view: &View, sequence: Sequence, line: u32) -> Epoch {
        self.known = (view.time.base.clone(), view.time.proxy.clone());
        let Sequence { actor, count } = sequence;
        Epoch { actor, clock: count, line, asynchronous: true, atomic: false }
    }
}
