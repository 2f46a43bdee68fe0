//! The `hactl` executable: arguments -> command -> exit code.

fn main() {}
