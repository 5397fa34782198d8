//! The tree to instructions with register slots. An opcode or modifier that is not known is an error.

mod asynchronous;
mod bulk_store;
mod halves;
mod mma_sync;
mod names;
mod scalar;
mod tcgen05;

use crate::ir::{Code, Inst, Op};
use crate::syntax::SyntaxError;
use crate::syntax::ast::{Instruction, Kernel, Module, Statement, VariableSpace};
use names::Names;
use std::collections::HashMap;

/// Where shared memory begins in the 32-bit window: nothing lies at 0, so that a null address is a fault.
pub const SHARED_BASE: u64 = 1024;

/// Lowers every kernel of a module.
///
/// # Errors
///
/// The first instruction, modifier or name that is not known, with its line.
pub fn lower(module: &Module) -> Result<Vec<Code>, SyntaxError> {
    module.kernels.iter().map(|kernel| lower_kernel(module, kernel)).collect()
}

fn align(value: u64, to: u64) -> u64 {
    value.next_multiple_of(to.max(1))
}

fn lower_kernel(module: &Module, kernel: &Kernel) -> Result<Code, SyntaxError> {
    let mut code = Code {
        name: kernel.name.clone(),
        max_threads: kernel.max_threads,
        exact_threads: kernel.exact_threads,
        cluster: kernel.cluster,
        param_align: kernel.params.iter().map(|p| p.align).max().unwrap_or(1),
        ..Code::default()
    };
    let mut names = Names::default();
    for param in &kernel.params {
        code.param_bytes = align(code.param_bytes, param.align);
        names.symbol(&param.name, code.param_bytes);
        code.param_bytes += param.bytes;
    }
    let mut shared = SHARED_BASE;
    let mut dynamic = Vec::new();
    for variable in &module.variables {
        match variable.space {
            VariableSpace::Shared if variable.external => dynamic.push(variable),
            VariableSpace::Shared => {
                shared = align(shared, variable.align);
                names.symbol(&variable.name, shared);
                shared += variable.bytes;
            }
            VariableSpace::Const => {
                let at = align(code.constants.len() as u64, variable.align);
                code.constants.resize((at + variable.bytes) as usize, 0);
                let end = at as usize + variable.init.len();
                code.constants[at as usize..end].copy_from_slice(&variable.init);
                names.symbol(&variable.name, at);
            }
            VariableSpace::Global | VariableSpace::Local => {}
        }
    }
    // Labels first: branches may go forward. Labels of inner scopes are unique in what compilers emit.
    let mut count = 0u32;
    for statement in &kernel.body {
        match statement {
            Statement::Label(name, line) => names.label(name, count, *line)?,
            Statement::Instruction(_) => count += 1,
            Statement::Variable(variable) => {
                let shares = variable.space == VariableSpace::Shared;
                let end = if shares { &mut shared } else { &mut code.local_bytes };
                *end = align(*end, variable.align);
                names.symbol(&variable.name, *end);
                *end += variable.bytes;
            }
            _ => {}
        }
    }
    // All open arrays share one start (PTX ISA 5.1.6).
    let dynamic_align = dynamic.iter().map(|v| v.align).max().unwrap_or(16);
    code.static_shared = shared - SHARED_BASE;
    code.dynamic_base = align(shared, dynamic_align);
    for variable in dynamic {
        names.symbol(&variable.name, code.dynamic_base);
    }
    let mut opcodes: HashMap<String, u16> = HashMap::new();
    for statement in &kernel.body {
        match statement {
            Statement::Open => names.open(),
            Statement::Close => names.close(),
            Statement::Registers { class, name, count, line } => {
                names.registers(class, name, *count, *line)?;
            }
            Statement::Instruction(instruction) => {
                let mut inst = lower_instruction(instruction, &mut names, &mut opcodes)?;
                if let Op::MmaSync(op) = &mut inst.op {
                    op.family = mma_sync::family(&module.target).ok_or_else(|| {
                        let message =
                            format!("the rule of mma.sync on `{}` is not known", module.target);
                        SyntaxError::new(inst.line, message)
                    })?;
                }
                if matches!(inst.op, Op::Tcgen05(_)) && !tcgen05::exists_on(&module.target) {
                    let message = format!("`{}` has no tcgen05", module.target);
                    return Err(SyntaxError::new(inst.line, message));
                }
                code.insts.push(inst);
            }
            Statement::Label(..) | Statement::Variable(_) => {}
        }
    }
    // Falling off the end is an exit.
    let line = code.insts.last().map_or(kernel.line, |inst| inst.line);
    let opcode = opcodes.len() as u16;
    opcodes.entry("exit (end of the body)".to_owned()).or_insert(opcode);
    code.insts.push(Inst { op: Op::Exit, guard: None, line, opcode, touches: Vec::new() });
    code.opcodes = vec![String::new(); opcodes.len()];
    for (name, index) in opcodes {
        code.opcodes[index as usize] = name;
    }
    code.registers = names.registers_used();
    code.predicates = names.predicates_used();
    Ok(code)
}

fn lower_instruction(
    instruction: &Instruction,
    names: &mut Names,
    opcodes: &mut HashMap<String, u16>,
) -> Result<Inst, SyntaxError> {
    let line = instruction.line;
    names.begin(line);
    let guard = match &instruction.guard {
        Some((name, negated)) => Some((names.predicate(name)?, *negated)),
        None => None,
    };
    let parts: Vec<&str> = instruction.opcode.split('.').collect();
    let mut operands = names::Operands::new(names, &instruction.operands, &instruction.opcode);
    let lowered = match parts[0] {
        "tcgen05" => tcgen05::lower(&parts, &mut operands)?,
        "mma" => mma_sync::lower(&parts, &mut operands)?,
        _ => match scalar::lower(&parts, &mut operands)? {
            Some(op) => Some(op),
            None => match halves::lower(&parts, &mut operands)? {
                Some(op) => Some(op),
                None => asynchronous::lower(&parts, &mut operands)?,
            },
        },
    };
    let op = lowered.ok_or_else(|| {
        SyntaxError::new(line, format!("unknown instruction `{}`", instruction.opcode))
    })?;
    operands.finish()?;
    let next = opcodes.len() as u16;
    let opcode = *opcodes.entry(instruction.opcode.clone()).or_insert(next);
    Ok(Inst { op, guard, line, opcode, touches: names.touched() })
}
