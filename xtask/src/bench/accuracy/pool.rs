//! Several runs in parallel.

use std::num::NonZeroUsize;
use std::sync::Mutex;

use anyhow::{Error, Result, bail};

/// Does the work of every item, `jobs` at a time. A failure does not stop the others.
///
/// # Errors
/// If any item failed; each failure is printed when it happens.
pub(super) fn each<T: Sync>(
    items: &[T],
    jobs: NonZeroUsize,
    work: impl Fn(&T) -> Result<()> + Sync,
) -> Result<()> {
    let (next, failures) = (Mutex::new(items.iter()), Mutex::new(0));
    std::thread::scope(|scope| {
        for _ in 0..jobs.get() {
            scope.spawn(|| {
                while let Some(item) = take(&next) {
                    if let Err(error) = work(item) {
                        report(&error);
                        *failures.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) += 1;
                    }
                }
            });
        }
    });
    match failures.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()) {
        0 => Ok(()),
        failed => bail!("{failed} of {} runs failed, see above", items.len()),
    }
}

fn take<'a, T>(next: &Mutex<std::slice::Iter<'a, T>>) -> Option<&'a T> {
    next.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).next()
}

fn report(error: &Error) {
    eprintln!("error: {error:#}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_done_once_and_a_failure_stops_no_other() {
        let items: Vec<usize> = (0..20).collect();
        let done = Mutex::new(Vec::new());
        let result = each(&items, NonZeroUsize::new(3).expect("three"), |&item| {
            done.lock().expect("no work panics").push(item);
            if item % 10 == 4 { bail!("{item}") } else { Ok(()) }
        });
        let mut done = done.into_inner().expect("no work panics");
        done.sort_unstable();
        assert_eq!(done, items);
        assert_eq!(result.expect_err("two failed").to_string(), "2 of 20 runs failed, see above");
    }
}
