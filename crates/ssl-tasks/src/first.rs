//! What only the first process of a group does.

use ssl_core::Group;

use crate::Error;

/// Does `work` in the first process, once all have come here, and while the others wait; `None` in the others.
///
/// # Errors
/// Those of `work`, in the first process. The caller then has to tell the others, which wait.
pub(crate) fn in_first<T>(
    group: &Group,
    work: impl FnOnce() -> Result<T, Error>,
) -> Result<Option<T>, Error> {
    group.barrier(); // what is written now, the others have read
    let done = (group.rank() == 0).then(work).transpose()?;
    group.barrier();
    Ok(done)
}
