//! The graph to a program: blocks in a line, jumps as distances.

use crate::bpf::{Instruction, Program, op};

use super::graph::{Block, BlockId, Comparison, Exit, Graph, Load, Size, Statement, Test};

/// A conditional jump reaches 255 instructions further; what is beyond is
/// reached over an unconditional one right behind it.
const REACH: usize = 255;

pub(super) fn emit(graph: &Graph) -> Program {
    let order = layout(graph);
    // Which of a block's two branches need such a jump. Each one makes the
    // program longer, so others may follow; it ends as none is ever taken back.
    let mut far = vec![[false; 2]; graph.blocks.len()];
    loop {
        let starts = starts(graph, &order, &far);
        let mut settled = true;
        for &id in &order {
            let Some(to) = graph.blocks[id].successors() else { continue };
            let after = starts[id] + graph.blocks[id].statements.len() + 1;
            for side in 0..2 {
                if starts[to[side]] - after > REACH && !far[id][side] {
                    far[id][side] = true;
                    settled = false;
                }
            }
        }
        if settled {
            return write(graph, &order, &starts, &far);
        }
    }
}

/// The reachable blocks, each before those it leads to, the accepting way first.
fn layout(graph: &Graph) -> Vec<BlockId> {
    let mut order = graph.postorder([1, 0]);
    order.reverse();
    order
}

fn starts(graph: &Graph, order: &[BlockId], far: &[[bool; 2]]) -> Vec<usize> {
    let mut starts = vec![0; graph.blocks.len()];
    let mut next = 0;
    for &id in order {
        starts[id] = next;
        next += graph.blocks[id].statements.len() + 1 + far[id].iter().filter(|&&far| far).count();
    }
    starts
}

fn write(graph: &Graph, order: &[BlockId], starts: &[usize], far: &[[bool; 2]]) -> Program {
    let mut instructions = Vec::new();
    for &id in order {
        let Block { statements, exit } = &graph.blocks[id];
        instructions.extend(statements.iter().map(|statement| self::statement(*statement)));
        match *exit {
            Exit::Return(k) => instructions.push(Instruction::new(op::RET | op::K, k)),
            Exit::Branch { test, to } => {
                let after = instructions.len() + 1;
                let mut jumps = Vec::new();
                let mut distances = [0; 2];
                for side in 0..2 {
                    let distance = starts[to[side]] - after;
                    distances[side] = if far[id][side] {
                        jumps.push(Instruction::new(op::JMP | op::JA, (distance - jumps.len() - 1) as u32));
                        jumps.len() - 1
                    } else {
                        distance
                    } as u8;
                }
                let [jt, jf] = distances;
                instructions.push(Instruction::jump(op::JMP | op::K | comparison(test), test.k, jt, jf));
                instructions.extend(jumps);
            }
        }
    }
    Program::new(instructions).expect("the compiler's programs are valid")
}

fn comparison(test: Test) -> u16 {
    match test.comparison {
        Comparison::Equal => op::JEQ,
        Comparison::Greater => op::JGT,
        Comparison::GreaterOrEqual => op::JGE,
        Comparison::AnyBitOf => op::JSET,
    }
}

fn statement(statement: Statement) -> Instruction {
    match statement {
        Statement::Immediate(k) => Instruction::new(op::LD | op::IMM, k),
        Statement::And(k) => Instruction::new(op::ALU | op::AND | op::K, k),
        Statement::HeaderLength(k) => Instruction::new(op::LDX | op::MSH | op::B, k),
        Statement::Load(Load { size, offset, indexed }) => {
            let size = match size {
                Size::Byte => op::B,
                Size::Half => op::H,
                Size::Word => op::W,
            };
            Instruction::new(op::LD | if indexed { op::IND } else { op::ABS } | size, offset)
        }
    }
}
