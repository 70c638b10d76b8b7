//! How a command ends when it does not succeed.

use std::process::ExitCode;

/// One sentence for the user, and the exit code.
#[derive(Debug)]
pub struct Failure {
    message: String,
    code: u8,
}

impl Failure {
    /// The work failed: exit code 1.
    pub fn work(message: impl ToString) -> Self {
        Self {
            message: message.to_string(),
            code: 1,
        }
    }

    /// The command was used wrongly: exit code 2.
    pub fn usage(message: impl ToString) -> Self {
        Self {
            message: message.to_string(),
            code: 2,
        }
    }

    /// Prints the sentence to standard error; gives the exit code.
    pub fn report(&self) -> ExitCode {
        eprintln!("starling: {}", self.message);
        ExitCode::from(self.code)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}
