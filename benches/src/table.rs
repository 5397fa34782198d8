//! Plain tables: the first column to the left, the others to the right.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Row, Table};

/// Lays out rows under a header.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(Row::from(header)).add_rows(rows.iter().map(Row::from));
    for (i, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        column.set_cell_alignment(if i == 0 { CellAlignment::Left } else { CellAlignment::Right });
    }
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [vec!["a".into(), "10".into()], vec!["long".into(), "7".into()]];
        assert_eq!(table(&["name", "n"], &rows), "name   n\na     10\nlong   7\n");
    }
}
