//! Signals: the role table and the handler.
