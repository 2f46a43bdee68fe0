//! How many connections the system lets this process have.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Raises the limit on open files as far as this process may by itself: each connection is one, and the usual
/// limit of 1024 is less than a large fleet. To be called once, at the start; returns the limit (`None`: none).
///
/// # Errors
/// The system refused.
pub fn raise_open_file_limit() -> std::io::Result<Option<u64>> {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        setrlimit(Resource::Nofile, limit)?;
    }
    Ok(limit.current)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_limit_is_raised_once_and_stays() {
        let first = super::raise_open_file_limit().unwrap();
        assert_eq!(super::raise_open_file_limit().unwrap(), first);
    }
}
