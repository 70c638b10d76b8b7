//! A command that must have ended in time: a run is to have a result, whatever its servers do.

use std::{
    io::{self, Read, Seek},
    process::{Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

/// How often it is looked at.
const POLL: Duration = Duration::from_millis(50);

/// Runs a command and waits for its end, at most `limit`; then it is killed. Gives how it ended, and what it said on its standard
/// error.
///
/// # Errors
/// It can't be started, or does not end in time (`TimedOut`): what it was to do may be done in part.
pub(super) fn run(mut command: Command, limit: Duration) -> io::Result<(ExitStatus, String)> {
    // A file, for a pipe is open as long as any process that it started has it.
    let mut said = tempfile::tempfile()?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(said.try_clone()?)
        .spawn()?;
    let deadline = Instant::now() + limit;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() > deadline {
            // It may end this very moment.
            let _gone = child.kill();
            child.wait()?;
            let late = format!("it did not end within {limit:?}");
            return Err(io::Error::new(io::ErrorKind::TimedOut, late));
        }
        std::thread::sleep(POLL);
    };
    let mut text = Vec::new();
    said.rewind()?;
    said.read_to_end(&mut text)?;
    Ok((status, String::from_utf8_lossy(&text).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_command_that_does_not_end_is_killed() {
        // What it started outlives it for a while, and holds what it inherited.
        let hangs = shell("sleep 30 & wait");
        let began = Instant::now();
        let error = run(hangs, Duration::from_millis(200)).expect_err("it hangs");
        assert_eq!(error.to_string(), "it did not end within 200ms");
        assert!(began.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn what_a_command_says_is_read() {
        let long = Duration::from_mins(1);
        let (status, said) = run(shell("echo no >&2; exit 3"), long).expect("it ends");
        assert_eq!((status.code(), said.as_str()), (Some(3), "no\n"));
        // More than a pipe holds.
        let (status, said) = run(shell("head -c 300000 /dev/zero >&2"), long).expect("it ends");
        assert!(status.success() && said.len() == 300_000);
    }
}
