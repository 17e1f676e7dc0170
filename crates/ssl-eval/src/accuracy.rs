//! How often class scores name the right class.

use burn::tensor::Tensor;

/// Number of classes that [`Accuracy::top5`] looks at.
const ANSWERS: usize = 5;

/// Shares of images whose class was predicted, 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Accuracy {
    /// Share of images whose class has the highest score.
    pub top1: f64,
    /// Share of images whose class has one of the five highest scores; 1 if there are at most five classes.
    pub top5: f64,
}

impl Accuracy {
    /// The accuracy of class scores. Classes with equal scores rank by their number.
    ///
    /// # Shapes
    /// - `scores`: `[image, class]`
    /// - `labels`: `[image]`
    ///
    /// # Panics
    /// If the numbers of labels and rows differ, or are 0.
    pub fn of_scores(scores: Tensor<2>, labels: &[i64]) -> Self {
        let [rows, classes] = scores.dims();
        let values: Vec<f64> = scores.into_data().iter::<f64>().collect();
        let predictions: Vec<_> = values.chunks(classes).map(best_classes).collect();
        assert_eq!(rows, labels.len(), "accuracy: rows and labels differ in number");
        Self::of(&predictions, labels)
    }

    /// The accuracy of the classes predicted for each image, best first.
    pub(crate) fn of(predictions: &[Vec<i64>], labels: &[i64]) -> Self {
        assert!(!labels.is_empty(), "accuracy of no images");
        let share = |answers: usize| {
            let right = predictions.iter().zip(labels);
            let right =
                right.filter(|(classes, label)| classes.iter().take(answers).any(|class| class == *label));
            right.count() as f64 / labels.len() as f64
        };
        Self { top1: share(1), top5: share(ANSWERS) }
    }
}

/// The five classes with the highest scores, best first; all if there are fewer.
pub(crate) fn best_classes(scores: &[f64]) -> Vec<i64> {
    let mut classes: Vec<usize> = (0..scores.len()).collect();
    classes.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    classes.into_iter().take(ANSWERS).map(|class| class as i64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssl_core::DeviceSpec;

    #[test]
    fn classes_of_equal_score_rank_by_number() {
        assert_eq!(best_classes(&[0.0, 2.0, 0.0, 2.0, 3.0, 0.0]), [4, 1, 3, 0, 2]);
    }

    #[test]
    fn the_class_counts_at_its_rank() {
        let device = DeviceSpec::Flex.open().expect("flex is compiled in");
        let scores = [[6.0, 5.0, 4.0, 3.0, 2.0, 1.0]; 4];
        let accuracy = Accuracy::of_scores(Tensor::from_floats(scores, &device), &[0, 1, 4, 5]);
        assert_eq!((accuracy.top1, accuracy.top5), (0.25, 0.75));
    }
}
