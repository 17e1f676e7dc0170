//! What the tool looks like in terminals of 80 and 120 columns.
#![cfg(unix)]

mod common;

use common::{class_folders, command, text, tiny};
use xtask_journey::{Ended, Terminal};

/// The common width, and a wide one.
const WIDTHS: [u16; 2] = [80, 120];

#[test]
fn the_bar_of_a_long_run_takes_one_row_and_an_answer_to_ctrl_c_stays_readable() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let images = class_folders(dir.path(), 12);
    for columns in WIDTHS {
        let out = dir.path().join(columns.to_string());
        let labelled = ["--eval-test", text(&images), "--eval-every", "0"];
        let args = [&tiny(text(&images), text(&out))[..], &["--epochs", "40000"], &labelled].concat();
        let mut terminal = Terminal::start(columns, command(&args));
        let rows = terminal.rows_where(|row| row.contains(" loss ") && row.ends_with(" left"));
        let bar: Vec<_> = rows.iter().skip_while(|row| !row.contains("/40000 ")).collect();
        let figures = [" loss ", " k-NN ", " lin", " rank ", "/s ", " data ", " left"];
        let shows_all = |row: &String| figures.iter().all(|figure| row.contains(figure));
        assert!(matches!(&bar[..], [bar] if shows_all(bar)), "{columns} columns: {rows:#?}");

        terminal.interrupt();
        let Ended { status, rows, .. } = terminal.end();
        assert_eq!(status.code(), Some(130), "{rows:#?}");
        let row = |text: &str| rows.iter().any(|row| row == text);
        assert!(row("stopping after this step (press Ctrl-C again to quit without saving)"), "{rows:#?}");
        assert!(rows.iter().any(|row| row.starts_with("stopped and saved after step ")), "{rows:#?}");
    }
}

#[test]
fn help_wraps_between_words() {
    for columns in WIDTHS {
        let help = command(&["pretrain", "--help"]);
        let Ended { status, rows, .. } = Terminal::start(columns, help).end();
        assert!(status.success() && rows.len() > 40, "{rows:#?}");
        let words = rows.iter().flat_map(|row| row.split_whitespace());
        // Words of the longest help texts, which a terminal would cut at its edge.
        for word in ["<method>/cifar10", "proportion", "views[0].ops[1].p=0;", "repeated", "neighbours"] {
            let shown = words.clone().filter(|shown| shown.trim_matches([',', '.']) == word).count();
            assert!(shown > 0, "{columns} columns, {word}: {rows:#?}");
        }
        let most = usize::from(columns);
        let full = rows.iter().find(|row| row.chars().count() > most);
        assert_eq!(full, None, "{columns} columns");
        let cut = rows.iter().filter(|row| row.chars().count() == usize::from(columns));
        assert!(cut.count() < rows.len() / 8, "most rows end before the edge, at a word: {rows:#?}");
    }
}
