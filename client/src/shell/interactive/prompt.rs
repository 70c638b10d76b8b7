//! The prompt: the keyspace, and marks for lines that go on.

use std::{borrow::Cow, sync::Arc};

use arc_swap::ArcSwap;
use reedline::{Prompt, PromptEditMode, PromptHistorySearch, PromptHistorySearchStatus};

/// `starling>` or `starling:keyspace>`.
#[derive(Debug, Default)]
pub(super) struct CqlPrompt {
    keyspace: Arc<ArcSwap<Option<String>>>,
}

impl CqlPrompt {
    pub(super) fn set(&self, keyspace: Option<String>) {
        self.keyspace.store(Arc::new(keyspace));
    }

    /// What the prompt shows, for those who complete names.
    pub(super) fn keyspace(&self) -> Arc<ArcSwap<Option<String>>> {
        Arc::clone(&self.keyspace)
    }
}

impl Prompt for CqlPrompt {
    fn render_prompt_left(&self) -> Cow<'_, str> {
        match &**self.keyspace.load() {
            Some(keyspace) => format!("starling:{keyspace}").into(),
            None => "starling".into(),
        }
    }

    fn render_prompt_right(&self) -> Cow<'_, str> {
        "".into()
    }

    fn render_prompt_indicator(&self, _: PromptEditMode) -> Cow<'_, str> {
        "> ".into()
    }

    fn render_prompt_multiline_indicator(&self) -> Cow<'_, str> {
        "   ... ".into()
    }

    fn render_prompt_history_search_indicator(&self, search: PromptHistorySearch) -> Cow<'_, str> {
        let found = match search.status {
            PromptHistorySearchStatus::Passing => "",
            PromptHistorySearchStatus::Failing => "nothing like ",
        };
        format!("({found}{}) ", search.term).into()
    }
}
