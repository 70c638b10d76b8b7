//! The line editor, on a thread of its own: it waits for keys without stopping the connections.

use std::{io, path::PathBuf, sync::Arc};

use arc_swap::ArcSwap;
use reedline::{
    ColumnarMenu, DefaultHinter, EditCommand, Emacs, FileBackedHistory, KeyCode, KeyModifiers, MenuBuilder,
    Reedline, ReedlineEvent, ReedlineMenu, Signal, default_emacs_keybindings,
};
use tokio::sync::{mpsc, oneshot};

use super::{completer::CqlCompleter, highlighter::CqlHighlighter, prompt::CqlPrompt, validator::Whole};
use crate::shell::schema_names::SchemaNames;

/// Lines that are remembered.
const HISTORY_LINES: usize = 10_000;
const MENU: &str = "completion";

/// What was typed.
pub(super) enum Line {
    /// One or more whole statements.
    Text(String),
    /// Ctrl-C: the line is given up.
    Interrupted,
    /// Ctrl-D: the shell is.
    End,
    /// The terminal fails.
    Failed(io::Error),
}

struct Ask {
    keyspace: Option<String>,
    answer: oneshot::Sender<Line>,
}

/// A handle to the editor's thread, which ends with it.
pub(super) struct Editor {
    asks: mpsc::UnboundedSender<Ask>,
}

impl Editor {
    pub(super) fn start(
        history: Option<PathBuf>,
        names: Arc<ArcSwap<SchemaNames>>,
        colours: bool,
    ) -> io::Result<Self> {
        let (asks, mut asked) = mpsc::unbounded_channel::<Ask>();
        std::thread::Builder::new()
            .name("line-editor".to_owned())
            .spawn(move || {
                let prompt = CqlPrompt::default();
                let mut editor = create(history, names, prompt.keyspace(), colours);
                while let Some(ask) = asked.blocking_recv() {
                    prompt.set(ask.keyspace);
                    let line = match editor.read_line(&prompt) {
                        Ok(Signal::Success(text)) => Line::Text(text),
                        Ok(Signal::CtrlD) => Line::End,
                        Ok(_) => Line::Interrupted,
                        Err(error) => Line::Failed(error),
                    };
                    // Whoever asked may be gone: then the next ask does not come.
                    let _ = ask.answer.send(line);
                }
            })?;
        Ok(Self { asks })
    }

    /// Shows the prompt and waits for whole statements.
    pub(super) async fn read(&mut self, keyspace: Option<String>) -> Line {
        let (answer, line) = oneshot::channel();
        if self.asks.send(Ask { keyspace, answer }).is_err() {
            return Line::Failed(io::Error::other("the line editor has ended"));
        }
        line.await
            .unwrap_or_else(|_| Line::Failed(io::Error::other("the line editor has ended")))
    }
}

fn create(
    history: Option<PathBuf>,
    names: Arc<ArcSwap<SchemaNames>>,
    keyspace: Arc<ArcSwap<Option<String>>>,
    colours: bool,
) -> Reedline {
    let mut keys = default_emacs_keybindings();
    keys.add_binding(
        KeyModifiers::NONE,
        KeyCode::Tab,
        ReedlineEvent::UntilFound(vec![
            ReedlineEvent::Menu(MENU.to_owned()),
            ReedlineEvent::MenuNext,
        ]),
    );
    keys.add_binding(
        KeyModifiers::ALT,
        KeyCode::Enter,
        ReedlineEvent::Edit(vec![EditCommand::InsertNewline]),
    );
    let menu = Box::new(ColumnarMenu::default().with_name(MENU));
    let mut editor = Reedline::create()
        .with_completer(Box::new(CqlCompleter::new(names, keyspace)))
        .with_menu(ReedlineMenu::EngineCompleter(menu))
        .with_quick_completions(true)
        .with_partial_completions(true)
        .with_validator(Box::new(Whole))
        .with_ansi_colors(colours)
        .with_edit_mode(Box::new(Emacs::new(keys)))
        .use_bracketed_paste(true);
    if colours {
        editor = editor
            .with_highlighter(Box::new(CqlHighlighter))
            .with_hinter(Box::new(DefaultHinter::default()));
    }
    // A history that can't be written is no reason not to work: lines are then remembered while it runs.
    match history.map(|file| FileBackedHistory::with_file(HISTORY_LINES, file)) {
        Some(Ok(history)) => editor.with_history(Box::new(history)),
        _ => editor,
    }
}
