//! Colours while typing.

use nu_ansi_term::{Color, Style};
use reedline::{Highlighter, StyledText};

use super::lexer::{self, Kind};

/// Keywords, strings, numbers and comments.
pub(super) struct CqlHighlighter;

impl Highlighter for CqlHighlighter {
    fn highlight(&self, line: &str, _: usize) -> StyledText {
        let mut styled = StyledText::new();
        for (kind, piece) in lexer::pieces(line) {
            styled.push((style(kind, piece), piece.to_owned()));
        }
        styled
    }
}

fn style(kind: Kind, piece: &str) -> Style {
    match kind {
        Kind::Word if lexer::is_keyword(piece) => Color::Blue.bold(),
        Kind::Number => Color::Green.normal(),
        Kind::Text => Color::Yellow.normal(),
        Kind::QuotedName => Color::Cyan.normal(),
        Kind::Comment => Style::new().dimmed(),
        Kind::Word | Kind::Other => Style::new(),
    }
}
