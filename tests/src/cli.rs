//! Command lines: the product's, and Xinference's own.

use crate::{
    python::{self, Environment},
    server::Server,
    workspace,
};
use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

/// How a command ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Exit status.
    pub status: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Ended {
    /// What it printed, after checking that it succeeded.
    pub fn good(self) -> String {
        assert_eq!(self.status, 0, "{}{}", self.out, self.err);
        self.out
    }

    /// Both outputs, after checking that it succeeded.
    pub fn good_both(self) -> String {
        assert_eq!(self.status, 0, "{}{}", self.out, self.err);
        self.out + &self.err
    }

    /// What it complained of, after checking that it failed.
    pub fn bad(self) -> String {
        assert_ne!(self.status, 0, "{}{}", self.out, self.err);
        self.err
    }
}

/// `syrinx <line>`, talking to a server. Words are separated by blanks.
pub fn syrinx(server: &Server, line: &str) -> Ended {
    syrinx_as(&workspace::syrinx(), server, line, "")
}

/// The product under another name or with something on its standard input.
pub fn syrinx_as(program: &Path, server: &Server, line: &str, input: &str) -> Ended {
    let mut command = Command::new(program);
    command.args(line.split_whitespace()).env("XINFERENCE_ENDPOINT", server.address()).env_remove("SYRINX_ENDPOINT");
    ended(&mut command, input)
}

/// `xinference <line>` of the real package, with `--endpoint` at the server.
pub fn xinference(server: &Server, line: &str, input: &str) -> Ended {
    let mut command = Command::new(Environment::Xinference.interpreter());
    command.args(["-m", "xinference.deploy.cmdline"]).args(line.split_whitespace());
    command.args(["--endpoint", server.address()]);
    python::without_the_developers_settings(&mut command);
    // It keeps what it logs and remembers below its home.
    command.env("XINFERENCE_HOME", workspace::scratch("xinference-home"));
    ended(&mut command, input)
}

fn ended(command: &mut Command, input: &str) -> Ended {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    // Whether it reads is its own affair.
    let _ = child.stdin.take().expect("it was piped").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("it ends");
    Ended {
        status: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
