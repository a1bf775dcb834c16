//! The replicated state: tables, transactions and how they apply.
