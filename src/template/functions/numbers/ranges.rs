//! Rows of integers.

use super::super::super::bounds::LONGEST_RANGE;
use super::super::super::error::Fault;
use super::super::super::run::Run;
use super::super::super::signature::{Ints, Rest};

pub(super) fn until(run: &mut Run, count: i64) -> Result<Ints, Fault> {
    until_step(run, 0, count, if count < 0 { -1 } else { 1 })
}

pub(super) fn until_step(run: &mut Run, start: i64, stop: i64, step: i64) -> Result<Ints, Fault> {
    range(run, start, stop, step).map(Ints)
}

fn range(run: &mut Run, start: i64, stop: i64, step: i64) -> Result<Vec<i64>, Fault> {
    if step == 0 || (stop < start) != (step < 0) {
        return Ok(Vec::new());
    }
    let distance = i128::from(stop) - i128::from(start);
    let count = (distance.unsigned_abs()).div_ceil(i128::from(step).unsigned_abs());
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    if count > LONGEST_RANGE {
        return Err(Fault::TooMuch("the list would be longer than a template may make one"));
    }
    run.budget.spend(count.saturating_mul(32))?;
    Ok((0..count).scan(start, |next, _| Some(std::mem::replace(next, next.saturating_add(step)))).collect())
}

pub(super) fn seq(run: &mut Run, parameters: Rest<i64>) -> Result<String, Fault> {
    let (start, step, end) = match parameters.0.as_slice() {
        [end] => (1, if *end < 1 { -1 } else { 1 }, *end),
        [start, end] => (*start, if end < start { -1 } else { 1 }, *end),
        [start, step, end] if end >= start || *step <= 0 => (*start, *step, *end),
        _ => return Ok(String::new()),
    };
    let beyond = end.wrapping_add(if end < start { -1 } else { 1 });
    let numbers = range(run, start, beyond, step)?;
    Ok(numbers.iter().map(i64::to_string).collect::<Vec<_>>().join(" "))
}
