//! Colours by type, as people know them from cqlsh.

use nu_ansi_term::{Color, Style};
use starling_cql::CqlType;

/// What is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ink {
    Plain,
    Header,
    Null,
    Text,
    Number,
    Blob,
    Other,
    Error,
    Warning,
    Faint,
}

impl Ink {
    /// The ink of a value.
    pub(super) fn of(cql_type: &CqlType, is_null: bool) -> Self {
        if is_null {
            return Self::Null;
        }
        match cql_type {
            CqlType::Ascii | CqlType::Text => Self::Text,
            CqlType::Blob => Self::Blob,
            CqlType::List { .. } | CqlType::Set { .. } | CqlType::Map { .. } => Self::Other,
            _ => Self::Number,
        }
    }

    fn style(self) -> Style {
        match self {
            Self::Plain => Style::new(),
            Self::Header => Color::Magenta.bold(),
            Self::Null | Self::Error => Color::Red.bold(),
            Self::Text => Color::Yellow.bold(),
            Self::Number => Color::Green.bold(),
            Self::Blob => Color::Purple.normal(),
            Self::Other => Color::Blue.bold(),
            Self::Warning => Color::Yellow.normal(),
            Self::Faint => Style::new().dimmed(),
        }
    }

    /// The text in this ink, if colours are on.
    pub(super) fn paint(self, text: &str, colours: bool) -> String {
        if colours && self != Self::Plain {
            self.style().paint(text).to_string()
        } else {
            text.to_owned()
        }
    }
}
