//! Gives published ports (and later addresses) to services and tasks.
