//! How much a template may do: counted, never timed, so that the same template passes or fails everywhere.

use super::error::Fault;

/// Longest template, in bytes: what fits into an object of the API server, and half as much again.
pub const LONGEST_TEMPLATE: usize = 3 << 20;
/// Longest result, in bytes: twice what a Secret holds.
pub const LONGEST_OUTPUT: usize = 2 << 20;
/// Deepest nesting of actions and parentheses in a text.
pub(super) const DEEPEST_SYNTAX: usize = 1_000;
/// Deepest calls of templates by templates.
pub(super) const DEEPEST_CALLS: usize = 2_000;
/// Deepest nesting of lists and dicts, where one is walked through.
pub(super) const DEEPEST_VALUE: usize = 500;
/// Steps of one rendering. A step is one node of the template, or one byte that a function makes.
const STEPS: usize = 64 << 20;
/// Largest list that a function makes out of numbers alone.
pub(super) const LONGEST_RANGE: usize = 1 << 20;
/// Greatest width or precision of a `printf` verb: Go's own.
pub(super) const WIDEST_VERB: usize = 1_000_000;
/// Size of a compiled regular expression, in bytes.
pub(super) const LARGEST_EXPRESSION: usize = 2 << 20;

/// What functions that compute for long cost, in steps: about the bytes that are made in the same time.
pub(super) mod cost {
    /// One `bcrypt` of cost 10.
    pub(in crate::template) const BCRYPT: usize = 4 << 20;
    /// One `derivePassword`: scrypt over 32 MiB.
    pub(in crate::template) const SCRYPT: usize = 8 << 20;
    /// One RSA key of 2 048 bits.
    pub(in crate::template) const RSA_2048: usize = 6 << 20;
    /// One RSA key of 4 096 bits.
    pub(in crate::template) const RSA_4096: usize = 24 << 20;
    /// One DSA group and key.
    pub(in crate::template) const DSA: usize = 24 << 20;
    /// One operation with a key.
    pub(in crate::template) const SIGNATURE: usize = 1 << 20;
    /// One PKCS#12 file opened or made, by the thousand rounds of its key derivation.
    pub(in crate::template) const THOUSAND_ROUNDS: usize = 1 << 16;
}

/// Runs something that calls itself, on a further piece of stack when little is left.
pub(super) fn with_stack<T>(run: impl FnOnce() -> T) -> T {
    stacker::maybe_grow(64 << 10, 1 << 20, run)
}

/// What is left of the steps.
#[derive(Debug)]
pub(super) struct Budget {
    left: usize,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self { left: STEPS }
    }

    /// Takes some steps off.
    pub(super) fn spend(&mut self, steps: usize) -> Result<(), Fault> {
        match self.left.checked_sub(steps) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => {
                self.left = 0;
                Err(Fault::TooMuch("the template does more than a template may: it was stopped"))
            }
        }
    }
}
