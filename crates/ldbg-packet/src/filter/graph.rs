//! The intermediate form: a directed graph of blocks without cycles. Each block
//! loads something and branches on it, or returns.

use super::FilterErrorKind;
use super::ast::Connective;
use super::error::{Fault, Span};

pub(super) type BlockId = usize;

/// More tests than that are refused (some 170 ports, or 340 hosts): the time to
/// optimize them grows with the square of it, and is about a second there.
const MAX_BLOCKS: usize = 4096;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Size {
    Byte,
    Half,
    Word,
}

/// A load into A.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Load {
    pub(super) size: Size,
    pub(super) offset: u32,
    /// Whether X is added to the offset.
    pub(super) indexed: bool,
}

impl Load {
    pub(super) fn byte(offset: u32) -> Self {
        Self { size: Size::Byte, offset, indexed: false }
    }

    pub(super) fn half(offset: u32) -> Self {
        Self { size: Size::Half, offset, indexed: false }
    }

    pub(super) fn word(offset: u32) -> Self {
        Self { size: Size::Word, offset, indexed: false }
    }

    pub(super) fn indexed_half(offset: u32) -> Self {
        Self { size: Size::Half, offset, indexed: true }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Statement {
    /// A from the packet.
    Load(Load),
    /// A constant into A.
    Immediate(u32),
    /// A and-ed with a constant.
    And(u32),
    /// X from the IPv4 header's length at this offset, in bytes: `4*([k]&0xf)`.
    HeaderLength(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Comparison {
    Equal,
    Greater,
    GreaterOrEqual,
    AnyBitOf,
}

/// A compared with a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Test {
    pub(super) comparison: Comparison,
    pub(super) k: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Exit {
    /// To the first block where the test holds, to the second where not.
    Branch {
        test: Test,
        to: [BlockId; 2],
    },
    Return(u32),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Block {
    pub(super) statements: Vec<Statement>,
    pub(super) exit: Exit,
}

impl Block {
    /// Where a branch leads; `None` for a return.
    pub(super) fn successors(&self) -> Option<[BlockId; 2]> {
        match self.exit {
            Exit::Branch { to, .. } => Some(to),
            Exit::Return(_) => None,
        }
    }
}

#[derive(Debug)]
pub(super) struct Graph {
    pub(super) blocks: Vec<Block>,
    pub(super) root: BlockId,
}

/// A condition on a packet, before it has a place in the graph.
#[derive(Clone, Debug)]
pub(super) enum Condition {
    Test {
        statements: Vec<Statement>,
        test: Test,
    },
    Not(Box<Condition>),
    /// From left to right, evaluated no further than needed.
    Chain {
        first: Box<Condition>,
        rest: Vec<(Connective, Condition)>,
    },
}

impl Condition {
    pub(super) fn compare(statements: impl Into<Vec<Statement>>, comparison: Comparison, k: u32) -> Self {
        Self::Test { statements: statements.into(), test: Test { comparison, k } }
    }

    pub(super) fn equal(load: Load, k: u32) -> Self {
        Self::compare([Statement::Load(load)], Comparison::Equal, k)
    }

    /// The bits of `mask` are those of `k`.
    pub(super) fn masked(load: Load, mask: u32, k: u32) -> Self {
        match mask {
            u32::MAX => Self::equal(load, k),
            _ => Self::compare([Statement::Load(load), Statement::And(mask)], Comparison::Equal, k),
        }
    }

    pub(super) fn never() -> Self {
        Self::compare([Statement::Immediate(1)], Comparison::Equal, 0)
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self::Chain { first: Box::new(self), rest: vec![(Connective::And, other)] }
    }

    pub(super) fn or(self, other: Self) -> Self {
        Self::Chain { first: Box::new(self), rest: vec![(Connective::Or, other)] }
    }

    pub(super) fn negate(self) -> Self {
        Self::Not(Box::new(self))
    }
}

impl Graph {
    /// A program that returns `snaplen` where `condition` holds, and 0 elsewhere.
    pub(super) fn new(condition: Condition, snaplen: u32, span: Span) -> Result<Self, Fault> {
        let accept = Block { statements: Vec::new(), exit: Exit::Return(snaplen) };
        let reject = Block { statements: Vec::new(), exit: Exit::Return(0) };
        let mut graph = Self { blocks: vec![accept, reject], root: 0 };
        graph.root = graph.wire(condition, 0, 1);
        if graph.blocks.len() > MAX_BLOCKS {
            let message = format!(
                "the filter needs {} tests, and at most {MAX_BLOCKS} are compiled: shorten its lists",
                graph.blocks.len()
            );
            return Err(Fault::new(FilterErrorKind::TooLong, span, message));
        }
        Ok(graph)
    }

    /// Whether no packet gets anything but 0.
    pub(super) fn rejects_all(&self) -> bool {
        self.blocks[self.root].exit == Exit::Return(0)
    }

    /// Places `condition` before the blocks it leads to; returns its first block.
    fn wire(&mut self, condition: Condition, then: BlockId, otherwise: BlockId) -> BlockId {
        match condition {
            Condition::Test { statements, test } => {
                self.blocks.push(Block { statements, exit: Exit::Branch { test, to: [then, otherwise] } });
                self.blocks.len() - 1
            }
            Condition::Not(inner) => self.wire(*inner, otherwise, then),
            Condition::Chain { first, rest } => {
                // From the right: what is to the left of a connective either
                // decides the whole so far, or leads to what is to the right.
                let (mut then, mut otherwise) = (then, otherwise);
                for (connective, condition) in rest.into_iter().rev() {
                    let right = self.wire(condition, then, otherwise);
                    match connective {
                        Connective::And => then = right,
                        Connective::Or => otherwise = right,
                    }
                }
                self.wire(*first, then, otherwise)
            }
        }
    }
}

impl Graph {
    /// The blocks that the root reaches, each after those it leads to; of its
    /// two branches the one named first by `sides` is gone first.
    pub(super) fn postorder(&self, sides: [usize; 2]) -> Vec<BlockId> {
        let mut order = Vec::new();
        let mut seen = vec![false; self.blocks.len()];
        // A stack of our own: a long list is a deep graph.
        let mut stack = vec![(self.root, 0)];
        seen[self.root] = true;
        while let Some((id, gone)) = stack.last_mut() {
            let next = self.blocks[*id].successors().and_then(|to| Some(to[*sides.get(*gone)?]));
            match next {
                Some(next) => {
                    *gone += 1;
                    if !seen[next] {
                        seen[next] = true;
                        stack.push((next, 0));
                    }
                }
                None => {
                    order.push(*id);
                    stack.pop();
                }
            }
        }
        order
    }
}
