//! How this process was started, by the variables that launchers set.

use crate::JobError;

/// The place of a process among those on its machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Local {
    /// The index of this process among those on its machine, from 0; the number of its GPU.
    pub rank: usize,
    /// Processes on this machine, if the launcher says.
    pub size: Option<usize>,
}

/// A job that a launcher started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Launch {
    pub(crate) launcher: Launcher,
    /// Processes, if the launcher says.
    pub(crate) size: Option<usize>,
    pub(crate) local: Option<Local>,
}

/// What started a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Launcher {
    /// `mpirun`, `mpiexec`, or `srun` with an MPI plugin.
    Mpi,
    /// `torchrun`, or whatever sets its variables.
    Torchrun(Meeting),
}

/// Where the processes of `torchrun` meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Meeting {
    pub(crate) rank: usize,
    pub(crate) size: usize,
    pub(crate) address: String,
    pub(crate) port: u16,
    /// Whether rank 0 opens the port; else the launcher's agent has done so.
    pub(crate) serves: bool,
}

/// The variables of MPI libraries' launchers: number of processes, and place on this machine.
const MPI: [[&str; 3]; 3] = [
    ["OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"],
    ["PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"],
    ["SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", "SLURM_TASKS_PER_NODE"],
];

/// The job that the variables of this process belong to; none if it was started alone.
pub(crate) fn find(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Launch>, JobError> {
    if let Some(launch) = torchrun(&variable)? {
        return Ok(Some(launch));
    }
    let number = |name: &str| variable(name).and_then(|value| value.trim().parse::<usize>().ok());
    let by_mpi =
        number(MPI[0][0]).is_some() || number(MPI[1][0]).is_some() || variable("PMIX_RANK").is_some();
    let size = MPI.iter().find_map(|[size, ..]| number(size));
    if by_mpi {
        // MPI itself knows the place, so one that is not told in full is asked there.
        let place =
            |[_, rank, size]: &[&str; 3]| Some(Local { rank: number(rank)?, size: Some(number(size)?) });
        let local = MPI.iter().find_map(place);
        return Ok(Some(Launch { launcher: Launcher::Mpi, size, local }));
    }
    match size {
        Some(tasks) if tasks > 1 => Err(JobError::SrunWithoutMpi { tasks }),
        _ => Ok(None),
    }
}

/// The rank of this process, as far as its environment says: to report that it cannot join its job.
pub fn rank_by_environment() -> usize {
    let ranks = ["OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK", "RANK", "SLURM_PROCID"];
    first_number(&ranks, |name| std::env::var(name).ok()).unwrap_or(0)
}

/// The index of this process among those on its machine, if its environment says: for the same purpose.
pub fn local_rank_by_environment() -> Option<usize> {
    local_rank(|name| std::env::var(name).ok())
}

fn local_rank(variable: impl Fn(&str) -> Option<String>) -> Option<usize> {
    // Under torchrun in a SLURM job, the last one is that of torchrun itself.
    let ranks = ["OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "LOCAL_RANK", "SLURM_LOCALID"];
    first_number(&ranks, variable)
}

/// The value of the first of these variables that is set, if it is a number.
fn first_number(names: &[&str], variable: impl Fn(&str) -> Option<String>) -> Option<usize> {
    names.iter().find_map(|name| variable(name))?.trim().parse().ok()
}

fn torchrun(variable: &impl Fn(&str) -> Option<String>) -> Result<Option<Launch>, JobError> {
    let (Some(rank), Some(size)) = (variable("RANK"), variable("WORLD_SIZE")) else { return Ok(None) };
    let number = |name: &'static str, value: &str| {
        let wrong = || JobError::Variable { name, value: value.to_owned() };
        value.trim().parse::<usize>().map_err(|_| wrong())
    };
    let needed = |name: &'static str| variable(name).ok_or(JobError::NoVariable { name });
    let (rank, size) = (number("RANK", &rank)?, number("WORLD_SIZE", &size)?);
    if size == 1 {
        return Ok(None); // some containers set these variables for every program
    }
    if rank >= size {
        return Err(JobError::Variable { name: "RANK", value: rank.to_string() });
    }
    let port = needed("MASTER_PORT")?;
    let port = port.trim().parse().map_err(|_| JobError::Variable { name: "MASTER_PORT", value: port })?;
    let served = variable("TORCHELASTIC_USE_AGENT_STORE").is_some_and(|value| value == "True");
    let local = |name: &'static str| variable(name).map(|value| number(name, &value)).transpose();
    // Who starts processes by hand may say which GPU is whose, and no more.
    let (local_rank, local_size) = (local("LOCAL_RANK")?, local("LOCAL_WORLD_SIZE")?);
    let address = needed("MASTER_ADDR")?;
    Ok(Some(Launch {
        launcher: Launcher::Torchrun(Meeting { rank, size, address, port, serves: rank == 0 && !served }),
        size: Some(size),
        local: local_rank.map(|rank| Local { rank, size: local_size }),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Result<Option<Launch>, String> {
        let value =
            |name: &str| variables.iter().find(|(one, _)| *one == name).map(|(_, value)| (*value).to_owned());
        find(value).map_err(|error| error.to_string())
    }

    #[test]
    fn a_process_without_a_launcher_is_alone() {
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&[("RANK", "0"), ("WORLD_SIZE", "1")]), Ok(None));
        assert_eq!(of(&[("SLURM_STEP_NUM_TASKS", "1"), ("SLURM_PROCID", "0")]), Ok(None));
    }

    #[test]
    fn mpirun_and_srun_are_known_by_their_variables() {
        let launch = of(&[
            ("OMPI_COMM_WORLD_SIZE", "4"),
            ("OMPI_COMM_WORLD_LOCAL_RANK", "1"),
            ("OMPI_COMM_WORLD_LOCAL_SIZE", "2"),
        ]);
        let local = Some(Local { rank: 1, size: Some(2) });
        assert_eq!(launch, Ok(Some(Launch { launcher: Launcher::Mpi, size: Some(4), local })));
        let launch = of(&[("PMI_SIZE", "3"), ("PMI_RANK", "0")]).expect("a job of MPICH").expect("a job");
        assert_eq!((launch.launcher, launch.size, launch.local), (Launcher::Mpi, Some(3), None));
        let slurm = [("PMIX_RANK", "1"), ("SLURM_STEP_NUM_TASKS", "2"), ("SLURM_TASKS_PER_NODE", "1(x2)")];
        let launch = of(&slurm).expect("a job of srun").expect("a job");
        assert_eq!((launch.launcher, launch.size, launch.local), (Launcher::Mpi, Some(2), None));
    }

    #[test]
    fn srun_without_mpi_is_an_error_instead_of_many_runs() {
        let error = of(&[("SLURM_STEP_NUM_TASKS", "4")]).expect_err("no engine");
        assert!(error.starts_with("srun started 4 tasks without MPI"), "{error}");
    }

    #[test]
    fn torchrun_says_where_its_processes_meet_and_who_serves() {
        let mut variables = vec![
            ("RANK", "0"),
            ("WORLD_SIZE", "2"),
            ("LOCAL_RANK", "0"),
            ("LOCAL_WORLD_SIZE", "2"),
            ("MASTER_ADDR", "host-1"),
            ("MASTER_PORT", "29500"),
        ];
        let meeting = |variables: &[(&str, &str)]| match of(variables).expect("all there").expect("a job") {
            Launch { launcher: Launcher::Torchrun(meeting), .. } => meeting,
            other => panic!("{other:?}"),
        };
        let found = meeting(&variables);
        assert_eq!((found.address.as_str(), found.port, found.serves), ("host-1", 29500, true));
        variables.push(("TORCHELASTIC_USE_AGENT_STORE", "True"));
        assert!(!meeting(&variables).serves);
    }

    #[test]
    fn a_process_knows_its_gpu_even_if_the_number_of_its_neighbours_is_not_told() {
        let start = [("RANK", "5"), ("WORLD_SIZE", "8"), ("MASTER_ADDR", "a"), ("MASTER_PORT", "29500")];
        let local = |more: &[(&str, &str)]| {
            let launch = of(&[&start[..], more].concat()).expect("all there").expect("a job");
            launch.local
        };
        assert_eq!(local(&[]), None);
        assert_eq!(local(&[("LOCAL_RANK", "1")]), Some(Local { rank: 1, size: None }));
        let both = local(&[("LOCAL_RANK", "1"), ("LOCAL_WORLD_SIZE", "4")]);
        assert_eq!(both, Some(Local { rank: 1, size: Some(4) }));
        assert_eq!(local(&[("LOCAL_WORLD_SIZE", "4")]), None);
        let error = of(&[&start[..], &[("LOCAL_RANK", "x")]].concat()).expect_err("no number");
        assert!(error.starts_with("LOCAL_RANK is 'x'"), "{error}");
    }

    #[test]
    fn the_place_on_the_machine_is_that_of_the_launcher_that_started_the_process() {
        let of = |variables: &[(&str, &str)]| {
            local_rank(|name| {
                variables.iter().find(|(one, _)| *one == name).map(|(_, value)| (*value).to_owned())
            })
        };
        assert_eq!((of(&[]), of(&[("LOCAL_RANK", "no number")])), (None, None));
        assert_eq!(of(&[("SLURM_LOCALID", "0"), ("LOCAL_RANK", "3")]), Some(3));
        assert_eq!(of(&[("OMPI_COMM_WORLD_LOCAL_RANK", " 2 ")]), Some(2));
    }

    #[test]
    fn a_variable_that_is_missing_or_wrong_is_named() {
        assert_eq!(
            of(&[("RANK", "0"), ("WORLD_SIZE", "2"), ("MASTER_ADDR", "a")]),
            Err("RANK and WORLD_SIZE are set, but not MASTER_PORT: start the job with torchrun, or set it"
                .into())
        );
        let error = of(&[("RANK", "2"), ("WORLD_SIZE", "2")]).expect_err("no such rank");
        assert!(error.starts_with("RANK is '2'"), "{error}");
    }
}
