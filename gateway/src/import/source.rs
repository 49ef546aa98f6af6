//! The file: its rows one by one, each with its line, whatever the others are like.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use csv::ByteRecord;

use super::mapping::{FileForm, Mapping};
use super::refusal::{Fault, Why};
use super::{ImportError, MappingError};

/// The longest row, in bytes. A longer one is most likely a quote that was never closed.
const LONGEST_ROW: usize = 1 << 20;

/// What the columns are called, and which values stand for nothing.
pub(super) struct Header {
    columns: BTreeMap<String, usize>,
    names: Vec<String>,
    empty: Vec<String>,
}

impl Header {
    fn new(names: Vec<String>, form: &FileForm) -> Self {
        let columns = names.iter().enumerate().map(|(n, name)| (name.clone(), n)).collect();
        Self { columns, names, empty: form.empty.clone() }
    }

    /// Checks that every column of the mapping is in the file, and only once.
    fn check(&self, mapping: &Mapping) -> Result<(), MappingError> {
        for (key, template) in mapping.templates() {
            for column in template.columns() {
                let known = self.names.iter().filter(|name| *name == column).count();
                let (key, column) = (key.to_owned(), column.to_owned());
                match known {
                    1 => (),
                    0 if column == ROW => (),
                    0 => return Err(MappingError::UnknownColumn { key, column }),
                    _ => return Err(MappingError::ColumnTwice { key, column }),
                }
            }
        }
        Ok(())
    }
}

/// The column that every file has: which row this is, counted from 1.
const ROW: &str = "row";

/// One row of the file.
pub(super) struct Row<'a> {
    header: &'a Header,
    record: &'a ByteRecord,
    /// Counted from 1, without the header.
    pub(super) number: u64,
    /// The line on which it begins.
    pub(super) line: u64,
}

impl Row<'_> {
    /// What stands in a column, without space around; nothing where it is empty.
    pub(super) fn cell(&self, column: &str) -> Option<Cow<'_, str>> {
        let Some(index) = self.header.columns.get(column) else {
            return Some(Cow::Owned(self.number.to_string()));
        };
        let bytes = self.record.get(*index)?;
        let text = std::str::from_utf8(bytes).ok()?.trim();
        let nothing = text.is_empty() || self.header.empty.iter().any(|empty| empty == text);
        (!nothing).then_some(Cow::Borrowed(text))
    }

    /// The cells as they stand in the file, in order.
    pub(super) fn cells(&self) -> impl Iterator<Item = &[u8]> {
        self.record.iter()
    }

    /// Whether it can be read at all.
    pub(super) fn check(&self) -> Result<(), Fault> {
        if self.record.as_slice().len() > LONGEST_ROW {
            return Err(Fault::new(Why::RowTooLong));
        }
        let torn = self.record.iter().position(|cell| std::str::from_utf8(cell).is_err());
        if let Some(torn) = torn {
            return Err(Fault::new(Why::NotUtf8).at(self
                .header
                .names
                .get(torn)
                .map(String::as_str)));
        }
        if self.record.len() == self.header.names.len() {
            Ok(())
        } else {
            Err(Fault::new(Why::FieldCount))
        }
    }
}

/// A file that can be walked from its beginning, as often as needed.
pub(super) struct Source<'a> {
    path: &'a Path,
    form: &'a FileForm,
    header: Header,
}

impl<'a> Source<'a> {
    /// Opens a file and compares its columns with the mapping's.
    pub(super) fn open(path: &'a Path, mapping: &'a Mapping) -> Result<Self, ImportError> {
        let form = &mapping.file;
        let names = match &form.columns {
            Some(columns) => columns.clone(),
            None => {
                let mut reader = reader(path, form)?;
                let names = reader.byte_headers().map_err(ImportError::Csv)?;
                names.iter().map(|name| String::from_utf8_lossy(name).trim().to_owned()).collect()
            }
        };
        let header = Header::new(names, form);
        header.check(mapping)?;
        Ok(Self { path, form, header })
    }

    /// Shows every row of the file, in order.
    pub(super) fn walk(
        &self,
        mut visit: impl FnMut(&Row<'_>) -> Result<(), ImportError>,
    ) -> Result<u64, ImportError> {
        let mut reader = reader(self.path, self.form)?;
        let mut record = ByteRecord::new();
        let mut number = 0;
        while reader.read_byte_record(&mut record).map_err(ImportError::Csv)? {
            number += 1;
            let line = record.position().map_or(0, csv::Position::line);
            visit(&Row { header: &self.header, record: &record, number, line })?;
        }
        Ok(number)
    }
}

fn reader(path: &Path, form: &FileForm) -> Result<csv::Reader<BufReader<File>>, ImportError> {
    let name = || path.display().to_string();
    let file = File::open(path).map_err(|error| ImportError::File(name(), error))?;
    let mut builder = csv::ReaderBuilder::new();
    builder.delimiter(form.delimiter.0).flexible(true).has_headers(form.columns.is_none());
    match form.quote {
        Some(quote) => builder.quote(quote.0),
        None => builder.quoting(false),
    };
    Ok(builder.from_reader(BufReader::new(file)))
}
