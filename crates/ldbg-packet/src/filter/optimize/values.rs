//! Value numbering: which registers hold the same at which places, and what
//! follows from that within one block.

use std::collections::HashMap;

use crate::filter::graph::{Comparison, Exit, Graph, Load, Statement, Test};

use super::analysis::{A, Analysis};
use super::{Progress, Round};

/// A number for a value; equal numbers are equal values, whatever the packet.
pub(super) type Number = u32;

/// Ways merge here that bring different values.
const UNKNOWN: Number = 0;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Value {
    Constant(u32),
    /// From the packet; the index is [`UNKNOWN`] for an absolute load.
    Load(Load, Number),
    HeaderLength(u32),
    And(Number, Number),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) a: Number,
    pub(super) x: Number,
}

/// What the registers hold at the end of each block, and what it is compared with.
pub(super) struct Values {
    pub(super) at_exit: Vec<Held>,
    /// By block: the number of the constant that it tests against.
    pub(super) operand: Vec<Number>,
    numbers: HashMap<Value, Number>,
    constants: HashMap<Number, u32>,
}

impl Values {
    /// Goes through the graph from the root; in the round of statements drops
    /// those that change nothing, in both folds tests whose outcome is constant.
    pub(super) fn number(
        graph: &mut Graph,
        analysis: &Analysis,
        round: Round,
        progress: &mut Progress,
    ) -> Self {
        let count = graph.blocks.len();
        let mut values = Self {
            at_exit: vec![Held::default(); count],
            operand: vec![UNKNOWN; count],
            numbers: HashMap::new(),
            constants: HashMap::new(),
        };
        for &id in analysis.levels.iter().rev().flatten() {
            values.block(graph, analysis, id, round, progress);
        }
        values
    }

    fn number_of(&mut self, value: Value) -> Number {
        let next = self.numbers.len() as Number + 1;
        let number = *self.numbers.entry(value).or_insert(next);
        if let Value::Constant(constant) = value {
            self.constants.insert(number, constant);
        }
        number
    }

    fn block(
        &mut self,
        graph: &mut Graph,
        analysis: &Analysis,
        id: usize,
        round: Round,
        progress: &mut Progress,
    ) {
        let mut held = Held::default();
        for (index, edge) in analysis.incoming[id].iter().enumerate() {
            let from = self.at_exit[edge.from];
            if index == 0 {
                held = from;
            }
            held.a = if held.a == from.a { held.a } else { UNKNOWN };
            held.x = if held.x == from.x { held.x } else { UNKNOWN };
        }
        let entered = held;
        let alter = round == Round::Statements;
        let block = &mut graph.blocks[id];
        block.statements.retain_mut(|statement| !self.statement(statement, &mut held, alter, progress));
        self.at_exit[id] = held;

        let Exit::Branch { test, to } = &mut block.exit else { return };
        let used_after = analysis.used_after[id];
        if alter && used_after == 0 && entered.a != UNKNOWN && entered == held && entered.x != UNKNOWN {
            if !block.statements.is_empty() {
                block.statements.clear();
                progress.note_irreversible();
            }
        } else {
            Self::bits_instead_of_mask(&mut block.statements, test, to, used_after, progress);
            self.fold(*test, to, held, progress);
            drop_dead(&mut block.statements, used_after, progress);
        }
        self.operand[id] = self.number_of(Value::Constant(test.k));
    }

    /// Follows one statement; true where it is superfluous.
    fn statement(
        &mut self,
        statement: &mut Statement,
        held: &mut Held,
        alter: bool,
        progress: &mut Progress,
    ) -> bool {
        if let Statement::And(mask) = *statement
            && alter
        {
            let folded = if mask == 0 { Some(0) } else { self.constants.get(&held.a).map(|a| a & mask) };
            if let Some(constant) = folded {
                *statement = Statement::Immediate(constant);
                held.a = self.number_of(Value::Constant(constant));
                progress.note_irreversible();
                return false;
            }
        }
        let (register, number) = match *statement {
            Statement::Load(load) if load.indexed => (&mut held.a, self.number_of(Value::Load(load, held.x))),
            Statement::Load(load) => (&mut held.a, self.number_of(Value::Load(load, UNKNOWN))),
            Statement::Immediate(constant) => (&mut held.a, self.number_of(Value::Constant(constant))),
            Statement::HeaderLength(offset) => (&mut held.x, self.number_of(Value::HeaderLength(offset))),
            Statement::And(mask) => {
                let mask = self.number_of(Value::Constant(mask));
                held.a = self.number_of(Value::And(held.a, mask));
                return false;
            }
        };
        let superfluous = alter && *register == number;
        *register = number;
        superfluous
    }

    /// `and #k; jeq #0` is `jset #k` the other way round, where nobody wants the masked value.
    fn bits_instead_of_mask(
        statements: &mut Vec<Statement>,
        test: &mut Test,
        to: &mut [usize; 2],
        used_after: u8,
        progress: &mut Progress,
    ) {
        if let Some(&Statement::And(mask)) = statements.last()
            && *test == (Test { comparison: Comparison::Equal, k: 0 })
            && used_after & A == 0
        {
            statements.pop();
            *test = Test { comparison: Comparison::AnyBitOf, k: mask };
            to.swap(0, 1);
            progress.turned = true;
            progress.note_irreversible();
        }
        if test.comparison == Comparison::AnyBitOf {
            match test.k {
                0 => to[0] = to[1],
                u32::MAX => to[1] = to[0],
                _ => {}
            }
        }
    }

    /// A test on a constant is decided.
    fn fold(&self, test: Test, to: &mut [usize; 2], held: Held, progress: &mut Progress) {
        let Some(&a) = self.constants.get(&held.a) else { return };
        let holds = match test.comparison {
            Comparison::Equal => a == test.k,
            Comparison::Greater => a > test.k,
            Comparison::GreaterOrEqual => a >= test.k,
            Comparison::AnyBitOf => a & test.k != 0,
        };
        if to[0] != to[1] {
            progress.note_irreversible();
        }
        *to = [to[usize::from(!holds)]; 2];
    }
}

impl Progress {
    pub(super) fn note_irreversible(&mut self) {
        self.changed = true;
        self.irreversible = true;
    }
}

/// Drops what sets a register that nobody reads.
fn drop_dead(statements: &mut Vec<Statement>, used_after: u8, progress: &mut Progress) {
    // The branch itself reads A.
    let mut read = used_after | A;
    let mut dead = false;
    for index in (0..statements.len()).rev() {
        let statement = statements[index];
        if read & statement.sets() == 0 {
            statements.remove(index);
            dead = true;
        } else {
            read = read & !statement.sets() | statement.uses();
        }
    }
    if dead {
        progress.note_irreversible();
    }
}
