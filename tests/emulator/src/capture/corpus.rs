//! The file that holds captured results.
//!
//! Eight bytes of magic, then one deflate stream: two strings (the device and the driver's CUDA version), the
//! number of records as `u32`, and the records: a string (the name), the fingerprint of the case as `u64`, the
//! number of tiles and of output bytes as `u32`, and the output with its bytes regrouped by their place in a
//! word of four, which deflates better. A string is its length as `u32` and its bytes. All numbers are little
//! endian.

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use std::io::{self, Read, Write};

const MAGIC: &[u8; 8] = b"EGCAPT1\n";

/// What one case left in its output.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Name of the case.
    pub name: String,
    /// Its fingerprint.
    pub fingerprint: u64,
    /// Tiles in the output.
    pub tiles: u32,
    /// The output.
    pub output: Vec<u8>,
}

/// All records of one machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Corpus {
    /// Name of the device.
    pub device: String,
    /// CUDA version of the driver.
    pub driver: String,
    /// The records.
    pub records: Vec<Record>,
}

impl Corpus {
    /// Number of tiles.
    pub fn tiles(&self) -> u64 {
        self.records.iter().map(|record| u64::from(record.tiles)).sum()
    }

    /// Writes the file.
    ///
    /// # Errors
    ///
    /// What the writer answers.
    pub fn write(&self, mut to: impl Write) -> io::Result<()> {
        to.write_all(MAGIC)?;
        let mut to = DeflateEncoder::new(to, Compression::best());
        string(&mut to, &self.device)?;
        string(&mut to, &self.driver)?;
        to.write_all(&(self.records.len() as u32).to_le_bytes())?;
        for record in &self.records {
            string(&mut to, &record.name)?;
            to.write_all(&record.fingerprint.to_le_bytes())?;
            to.write_all(&record.tiles.to_le_bytes())?;
            to.write_all(&(record.output.len() as u32).to_le_bytes())?;
            for plane in 0..4 {
                let bytes = record.output.iter().skip(plane).step_by(4).copied();
                to.write_all(&bytes.collect::<Vec<u8>>())?;
            }
        }
        to.finish()?.flush()
    }

    /// Reads a file.
    ///
    /// # Errors
    ///
    /// `InvalidData` if it is not such a file, or what the reader answers.
    pub fn read(mut from: impl Read) -> io::Result<Self> {
        let mut magic = [0; MAGIC.len()];
        from.read_exact(&mut magic)?;
        if &magic != MAGIC {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not a corpus of captures"));
        }
        let from = &mut DeflateDecoder::new(from);
        let (device, driver) = (text(from)?, text(from)?);
        let records = number(from)?;
        let records = (0..records).map(|_| record(from)).collect::<io::Result<_>>()?;
        Ok(Self { device, driver, records })
    }
}

fn record(from: &mut impl Read) -> io::Result<Record> {
    let name = text(from)?;
    let mut fingerprint = [0; 8];
    from.read_exact(&mut fingerprint)?;
    let fingerprint = u64::from_le_bytes(fingerprint);
    let tiles = number(from)?;
    let planes = bytes(from)?;
    let mut output = vec![0; planes.len()];
    let mut planes = planes.into_iter();
    for plane in 0..4 {
        for (to, from) in output.iter_mut().skip(plane).step_by(4).zip(&mut planes) {
            *to = from;
        }
    }
    Ok(Record { name, fingerprint, tiles, output })
}

fn string(to: &mut impl Write, text: &str) -> io::Result<()> {
    to.write_all(&(text.len() as u32).to_le_bytes())?;
    to.write_all(text.as_bytes())
}

fn number(from: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    from.read_exact(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}

fn bytes(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; number(from)? as usize];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn text(from: &mut impl Read) -> io::Result<String> {
    String::from_utf8(bytes(from)?)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let record = |name: &str, length: u8| Record {
            name: name.to_owned(),
            fingerprint: 0x0123_4567_89AB_CDEF,
            tiles: 3,
            output: (0..length).collect(),
        };
        let records = vec![record("a", 8), record("empty", 0), record("odd", 131)];
        let corpus = Corpus { device: "gpu".to_owned(), driver: "13.0".to_owned(), records };
        let mut file = Vec::new();
        corpus.write(&mut file).expect("memory");
        assert_eq!(Corpus::read(&file[..]).expect("whole"), corpus);
        assert!(Corpus::read(&file[..file.len() - 3]).is_err());
        file[0] = 0;
        assert!(Corpus::read(&file[..]).is_err());
    }
}
