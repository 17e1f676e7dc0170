//! What the processes of a run have to agree on.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Int, Tensor};
use ssl_core::{MethodRules, named};
use ssl_data::Dataset;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::{Networks, Run};
use crate::TrainError;

impl<M: MethodRules> Run<'_, M> {
    /// Whether any process of the group says yes.
    pub(super) fn any(&self, here: bool) -> bool {
        let group = &self.trainer.group;
        if group.is_solo() {
            return here;
        }
        let vote = Tensor::from_floats([if here { 1.0 } else { 0.0 }], self.trainer.device);
        group.all_reduce_sum(vote).into_scalar::<f32>() > 0.0
    }

    /// What the first process says, to all.
    pub(super) fn first_says(&self, here: bool) -> bool {
        self.any(here && self.writes())
    }

    /// Whether this process writes the files of the run.
    pub(super) fn writes(&self) -> bool {
        self.trainer.group.rank() == 0
    }

    /// Fails if the processes have other recipes, networks, images or checkpoints than the first one.
    pub(super) fn expect_same_run<S: Module, T: Module>(
        &self,
        networks: &Networks<S, T>,
    ) -> Result<(), TrainError> {
        let group = &self.trainer.group;
        if group.is_solo() {
            return Ok(());
        }
        let places = [Places::of(&networks.student), Places::of(&networks.state)];
        let run = format!("{:?} {:?} {:?} {places:?}", self.trainer.recipe, self.data, self.at);
        let all = group.gather_bytes(xxh3_64(run.as_bytes()).to_le_bytes().to_vec());
        match all.iter().position(|there| *there != all[0]) {
            Some(rank) => Err(TrainError::OtherRun { rank }),
            None => Ok(()),
        }
    }

    /// Fails if the processes, which all compute the same step, no longer have the same weights.
    pub(super) fn expect_same_weights<S: Module, T: Module>(
        &self,
        networks: &Networks<S, T>,
    ) -> Result<(), TrainError> {
        let group = &self.trainer.group;
        if group.is_solo() {
            return Ok(());
        }
        let mut hash = Xxh3::new();
        for tensors in [named::collect(&networks.student), named::collect(&networks.state)] {
            for (path, data) in &tensors {
                hash.update(path.as_bytes());
                hash.update(data.as_bytes());
            }
        }
        let all = group.gather_bytes(hash.digest().to_le_bytes().to_vec());
        match all.iter().position(|there| *there != all[0]) {
            Some(rank) => Err(TrainError::Drift { step: self.at.step, rank }),
            None => Ok(()),
        }
    }

    /// Tells every process the hashes of the images that the others have read.
    pub(super) fn share_hashes(&mut self, data: &Dataset) {
        let group = &self.trainer.group;
        if group.is_solo() {
            return;
        }
        let hashes = data.content_hashes();
        self.shared.resize(hashes.len(), 0); // as long in all processes, which have the same images
        let news = hashes.iter().enumerate().filter(|&(index, &hash)| hash != self.shared[index]);
        let news = news.flat_map(|(index, hash)| [index as u64, *hash]).flat_map(u64::to_le_bytes).collect();
        for of_rank in group.gather_bytes(news) {
            for pair in of_rank.as_chunks::<8>().0.chunks_exact(2) {
                let [index, hash] = [pair[0], pair[1]].map(u64::from_le_bytes);
                self.shared[index as usize] = hash;
            }
        }
        data.expect_contents(&self.shared);
    }
}

/// The paths and shapes of the tensors of a module. Gradients travel in one row, in the order of paths, so processes of which these
/// differ could add up what does not belong together.
#[derive(Default)]
struct Places {
    path: named::Path,
    found: Vec<(String, Vec<usize>)>,
}

impl Places {
    fn of(module: &impl Module) -> Vec<(String, Vec<usize>)> {
        let mut places = Self::default();
        module.visit(&mut places);
        places.found
    }

    fn add(&mut self, shape: &[usize]) {
        self.found.push((self.path.join(), shape.to_vec()));
    }
}

impl ModuleVisitor for Places {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.add(&param.val().dims());
    }

    fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
        self.add(&param.val().dims());
    }
}
