//! `cargo xtask conformance [DIR]`: checks the library against the golden files of the numerical conformance suite.
//!
//! An operation is a function from a case to the tensors it computes; [`Case::compare`] compares them with those that the
//! case expects. The metadata of the file selects the function, never its name; shapes and hyper-parameters are the
//! file's. A case without a function fails. A trajectory passes if it does so from weights that differ in their last bit.

mod aug;
mod ema;
mod eval;
mod loss;
mod method;
mod model;
mod modules;
mod optim;
mod optimizer;
mod recipe;
mod tree;

use std::any::Any;
use std::collections::BTreeSet;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use burn_ssl::core::Group;
use burn_ssl::dist::Job;
use ssl_testing::{Case, Comparison, Outputs, cases_dir};

/// How often a trajectory that fails is repeated from neighbouring weights.
const REPEATS: u64 = 4;

/// Computes the tensors that a case expects.
type Op = fn(&Case) -> Result<Outputs>;

/// The operations of a group by name.
fn ops(group: &str) -> &'static [(&'static str, Op)] {
    match group {
        "aug" => aug::OPS,
        "ema" => ema::OPS,
        "eval" => eval::OPS,
        "loss" => loss::OPS,
        "method" => method::OPS,
        "model" => model::OPS,
        "optim" => optim::OPS,
        _ => &[],
    }
}

/// Runs every case of a folder, by default those of this repository. Succeeds if there are cases and none fails; those of this
/// repository also have to have trajectories of every method that several ranks can share.
pub(crate) fn run(dir: Option<PathBuf>) -> ExitCode {
    let is_own = dir.is_none();
    let dir = dir.unwrap_or_else(cases_dir);
    let paths = Case::paths(&dir).unwrap_or_else(|error| {
        eprintln!("error: {error}");
        Vec::new()
    });
    if paths.is_empty() {
        eprintln!("error: no cases found in {}, expected *.safetensors files", dir.display());
    }
    let job = match Job::join() {
        Ok(job) => job,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let rows = match job.group().is_solo() {
        true => examine_all(&paths, is_own),
        false => examine_in_job(&paths, job.group()),
    };
    if !job.group().is_solo() && rows.iter().any(|row| row.result() == "fail") {
        job.fail("a case failed"); // the others go no further either
    }
    if !job.is_first() {
        job.leave();
        return ExitCode::SUCCESS; // the first process judges
    }
    let count = |result: &str| rows.iter().filter(|row| row.result() == result).count();
    let (passed, failed) = (count("pass"), count("fail"));
    println!("{passed} passed, {failed} failed");
    job.leave();
    if failed == 0 && !rows.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn find(group: &str, op: &str) -> Option<Op> {
    ops(group).iter().find(|(name, _)| *name == op).map(|(_, op)| *op)
}

/// The printed row of one case.
struct Row {
    case: String,
    tolerance: String,
    verdict: Verdict,
}

enum Verdict {
    /// The comparisons, one per expected tensor.
    Compared(Vec<(String, Comparison)>),
    /// The same of a trajectory that passes from weights that differ in their last bit, and by how many tolerances it failed before.
    Rounding(Vec<(String, Comparison)>, f64),
    /// Why there is nothing to compare.
    Failed(String),
}

fn examine_all(paths: &[PathBuf], is_own: bool) -> Vec<Row> {
    let width = paths.iter().map(|path| stem(path).len()).max().unwrap_or_default();
    println!("{:width$}  result  error/tolerance  tolerance", "case");
    // A panic is the result of its case and is printed in its row.
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let examine_one = |path: &PathBuf| {
        let row = examine(path);
        row.print(width);
        row
    };
    let mut rows: Vec<Row> = paths.iter().map(examine_one).collect();
    for size in method::group::SIZES {
        let shared = paths
            .iter()
            .filter_map(|path| examine_shared(path, size, |op, case| method::group::run(case, op, size)));
        rows.extend(shared.inspect(|row| row.print(width)));
    }
    if is_own {
        rows.extend(unshared(paths).inspect(|row| row.print(width)));
    }
    panic::set_hook(hook);
    rows
}

/// A failure for each method that no case checks on two ranks, or on four.
fn unshared(paths: &[PathBuf]) -> impl Iterator<Item = Row> {
    let cases: Vec<Case> = paths.iter().filter_map(|path| Case::read(path).ok()).collect();
    let row = |(method, reason)| Row {
        case: format!("method.{method}, ranks"),
        tolerance: String::new(),
        verdict: Verdict::Failed(reason),
    };
    method::group::unshared(&cases).into_iter().map(row)
}

/// The trajectories whose batches the processes of a job can share, the first of each method twice. The others are named. The first
/// case that fails is the last.
fn examine_in_job(paths: &[PathBuf], group: &Group) -> Vec<Row> {
    let width = paths.iter().map(|path| stem(path).len()).max().unwrap_or_default();
    let (mut rows, mut repeated, mut left_out) = (Vec::new(), BTreeSet::new(), Vec::new());
    for path in paths {
        let again = !repeated.contains(&method_of(path));
        let run = |op: Op, case: &Case| method::group::run_in_job(case, op, group, again);
        let Some(row) = examine_shared(path, group.size(), run) else {
            left_out.extend(Some(stem(path)).filter(|name| name.starts_with("method.")));
            continue;
        };
        repeated.insert(method_of(path));
        if group.rank() == 0 {
            row.print(width);
        }
        let failed = row.result() != "pass";
        rows.push(row);
        if failed {
            break;
        }
    }
    if group.rank() == 0 && !left_out.is_empty() {
        let (size, names) = (group.size(), left_out.join(", "));
        println!("left out, for {size} processes cannot share their batches: {names}");
    }
    rows
}

fn examine(path: &Path) -> Row {
    let case = match Case::read(path) {
        Ok(case) => case,
        Err(error) => {
            let verdict = Verdict::Failed(error.to_string());
            return Row { case: stem(path), tolerance: String::new(), verdict };
        }
    };
    let verdict = match find(&case.group, &case.op) {
        Some(op) => judge(&case, op),
        None => without_op(&case.group, &case.op),
    };
    Row { tolerance: format!("rtol {:e}, atol {:e}", case.rtol, case.atol), case: case.name, verdict }
}

/// The verdict on a case of an operation that nothing computes.
fn without_op(group: &str, op: &str) -> Verdict {
    Verdict::Failed(format!("nothing computes {group}.{op}: expected an implementation"))
}

/// A trajectory with its batches shared by `size` ranks; `None` for a case that they cannot share.
fn examine_shared(path: &Path, size: usize, run: impl Fn(Op, &Case) -> Result<Outputs>) -> Option<Row> {
    let case = Case::read(path).ok().filter(|case| method::group::divides(case, size))?;
    let op = find(&case.group, &case.op)?;
    let verdict = judge(&case, |case| run(op, case));
    Some(Row {
        tolerance: format!("rtol {:e}, atol {:e}", case.rtol, case.atol),
        case: format!("{}, {size} ranks", case.name),
        verdict,
    })
}

/// Compares what `op` computes with the case.
///
/// A trajectory that fails is repeated from weights that differ in their last bit. Where an argument of ReLU is within rounding of 0,
/// rounding decides about all gradients below it, differently on every processor; an error stays one from any such weights.
fn judge(case: &Case, op: impl Fn(&Case) -> Result<Outputs>) -> Verdict {
    let verdict = compare(case, case, &op);
    let before = match verdict.worst() {
        Some((_, ratio)) if case.group == "method" && !verdict.passes() => ratio,
        _ => return verdict,
    };
    let again = (0..REPEATS).map(|seed| compare(case, &case.with_neighbouring_weights(seed), &op));
    match again.into_iter().find(Verdict::passes) {
        Some(Verdict::Compared(all)) => Verdict::Rounding(all, before),
        _ => verdict,
    }
}

/// Compares what `op` computes of `given` with what `case` expects.
fn compare(case: &Case, given: &Case, op: impl Fn(&Case) -> Result<Outputs>) -> Verdict {
    let compared = panic::catch_unwind(AssertUnwindSafe(|| Ok(case.compare(&op(given)?)?)));
    match compared {
        Ok(Ok(comparisons)) => Verdict::Compared(comparisons),
        Ok(Err(error)) => Verdict::Failed(anyhow_text(&error)),
        Err(payload) => Verdict::Failed(format!("panic: {}", panic_text(payload.as_ref()))),
    }
}

impl Verdict {
    fn comparisons(&self) -> &[(String, Comparison)] {
        match self {
            Self::Compared(all) | Self::Rounding(all, _) => all,
            Self::Failed(_) => &[],
        }
    }

    fn passes(&self) -> bool {
        !matches!(self, Self::Failed(_))
            && self.comparisons().iter().all(|(_, comparison)| comparison.passes())
    }

    /// The tensor that is farthest from its expected value, measured by its tolerance.
    fn worst(&self) -> Option<(&str, f64)> {
        let ratios = self.comparisons().iter().map(|(name, comparison)| (name.as_str(), comparison.ratio()));
        ratios.max_by(|a, b| a.1.total_cmp(&b.1))
    }
}

impl Row {
    fn print(&self, width: usize) {
        let (result, ratio, reason) = (self.result(), self.ratio(), self.reason());
        println!("{:width$}  {result:<6}  {ratio:>15}  {}{reason}", self.case, self.tolerance);
    }

    fn result(&self) -> &'static str {
        if self.verdict.passes() { "pass" } else { "fail" }
    }

    fn ratio(&self) -> String {
        self.verdict.worst().map_or_else(|| "-".to_owned(), |(_, ratio)| format!("{ratio:.4}"))
    }

    /// What to look at if a case failed, or passed by rounding alone.
    fn reason(&self) -> String {
        match (&self.verdict, self.verdict.worst()) {
            (Verdict::Failed(reason), _) => format!("  {reason}"),
            (Verdict::Rounding(_, before), _) => {
                format!(
                    "  decided by rounding: {before:.1} tolerances off, but not from weights that differ in the last bit"
                )
            }
            (_, Some((name, ratio))) if ratio > 1.0 => format!("  {name}"),
            _ => String::new(),
        }
    }
}

/// The name of a case without its variant.
fn method_of(path: &Path) -> String {
    let name = stem(path);
    name.rsplit_once('.').map_or(name.clone(), |(method, _)| method.to_owned())
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn anyhow_text(error: &anyhow::Error) -> String {
    format!("{error:#}").replace('\n', " ")
}

fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
    text.unwrap_or("without a message").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssl_testing::Array;

    fn case(name: &str) -> Case {
        Case::read(&cases_dir().join(format!("{name}.safetensors"))).expect("a case of the repository")
    }

    fn result_of(op: Op) -> (&'static str, String) {
        let case = case("loss.nt_xent.base");
        let row = Row { case: String::new(), tolerance: String::new(), verdict: judge(&case, op) };
        (row.result(), row.reason())
    }

    #[test]
    fn a_panic_fails_its_case_with_its_message() {
        assert_eq!(
            result_of(|_| panic!("shapes {} and {}", 1, 2)),
            ("fail", "  panic: shapes 1 and 2".into())
        );
    }

    #[test]
    fn an_error_fails_its_case_with_its_text() {
        let (result, reason) =
            result_of(|case| Ok(Outputs::from([("x".into(), case.tensor("in.none")?.clone())])));
        assert_eq!(result, "fail");
        assert!(reason.contains("in.none"), "{reason}");
    }

    #[test]
    fn an_output_that_was_not_computed_fails() {
        assert_eq!(result_of(|_| Ok(Outputs::new())).0, "fail");
    }

    #[test]
    fn a_wrong_value_fails_and_names_its_tensor() {
        let (result, reason) = result_of(|case| {
            let mut right: Outputs = case.tensors().clone().into_iter().collect();
            right.insert("out.loss".into(), Array::f32([], vec![0.0]));
            Ok(right)
        });
        assert_eq!((result, reason.as_str()), ("fail", "  out.loss"));
    }

    #[test]
    fn the_expected_values_pass() {
        assert_eq!(result_of(|case| Ok(case.tensors().clone())).0, "pass");
    }

    #[test]
    fn a_trajectory_that_rounding_decides_passes_and_a_wrong_one_does_not() {
        let case = case("method.byol.sgd");
        let wrong = |case: &Case, is_off: bool| {
            let mut outputs: Outputs = case.tensors().clone();
            if is_off {
                outputs.insert("loss.1".into(), Array::f32([], vec![0.0]));
            }
            Ok(outputs)
        };
        let init = case.tensor("init.encoder.conv1.weight").expect("weights").clone();
        let is_given =
            |given: &Case| given.tensor("init.encoder.conv1.weight").is_ok_and(|found| *found == init);
        let verdict = judge(&case, |given| wrong(given, is_given(given)));
        assert!(verdict.passes() && matches!(verdict, Verdict::Rounding(_, before) if before > 1.0));
        assert!(!judge(&case, |given| wrong(given, true)).passes(), "wrong from all weights");
        let moved = case.with_neighbouring_weights(0);
        let (_, before) = case.f32("init.encoder.conv1.weight").expect("floats");
        let (_, after) = moved.f32("init.encoder.conv1.weight").expect("floats");
        let ulps = before.iter().zip(after).map(|(a, b)| a.to_bits().abs_diff(b.to_bits()));
        assert!(ulps.zip(before).all(|(ulps, value)| ulps == u32::from(*value != 0.0)));
        assert_eq!(moved.tensor("views.0.0").expect("views"), case.tensor("views.0.0").expect("views"));
    }

    #[test]
    fn an_operation_that_nothing_computes_fails() {
        let row = |group, op| {
            let verdict = without_op(group, op);
            let row = Row { case: String::new(), tolerance: String::new(), verdict };
            (row.result(), row.reason())
        };
        let (result, reason) = row("loss", "no_such_loss");
        assert_eq!(result, "fail");
        assert!(reason.contains("nothing computes loss.no_such_loss"), "{reason}");
        assert_eq!(row("no such group", "nt_xent").0, "fail");
    }
}
