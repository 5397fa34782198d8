//! What the command line asks for.

use crate::projection::Format;
use std::error::Error;
use std::path::PathBuf;

pub struct Arguments {
    pub format: Format,
    pub cpu: bool,
    pub layer: usize,
    pub tokens: usize,
    pub top_k: usize,
    pub files: Vec<PathBuf>,
}

impl Arguments {
    pub fn parse(mut given: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        let (format, files) = (Format::Fp8, Vec::new());
        let mut arguments = Self { format, cpu: false, layer: 3, tokens: 48, top_k: 2, files };
        while let Some(argument) = given.next() {
            let mut number = || -> Result<usize, Box<dyn Error>> {
                let value = given.next().ok_or_else(|| format!("{argument} needs a number"))?;
                value.parse().map_err(|_| format!("{argument} {value}: not a number").into())
            };
            match argument.as_str() {
                "--mxfp8" => arguments.format = Format::Mxfp8,
                "--cpu" => arguments.cpu = true,
                "--layer" => arguments.layer = number()?,
                "--tokens" => arguments.tokens = number()?,
                "--top-k" => arguments.top_k = number()?,
                option if option.starts_with('-') => {
                    let known = "--mxfp8, --cpu, --layer L, --tokens T, --top-k C";
                    return Err(format!("{option} is not known; options are {known}").into());
                }
                file => arguments.files.push(file.into()),
            }
        }
        if arguments.tokens == 0 || arguments.top_k == 0 {
            return Err("at least one token and one expert of it are needed".into());
        }
        Ok(arguments)
    }
}
