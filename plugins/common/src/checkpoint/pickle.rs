//! The part of Python's pickle language that `torch.save` writes. Nothing is called or imported: the few constructors that describe
//! tensors are recognised by name, everything else becomes [`Object::Other`].
//!
//! Source: Python's `pickletools` (opcodes), torch's `_rebuild_tensor_v2` and `persistent_id` in `serialization.py`.

use std::collections::HashMap;
use std::rc::Rc;

use super::DType;

/// Tuples in tuples; what describes tensors has three levels.
const MAX_NESTING: u8 = 16;

/// A value of the pickle. Containers are shared in Python, so they are kept in the [`Pickle`] and referred to.
#[derive(Clone, Debug)]
pub(super) enum Object {
    Int(i64),
    Float(f64),
    Text(Rc<str>),
    /// The items, and how many levels of tuples this is.
    Tuple(Rc<[Object]>, u8),
    List(usize),
    Dict(usize),
    Global(Rc<str>),
    Storage(Rc<Storage>),
    Tensor(Rc<TensorSpec>),
    Other,
}

#[derive(Debug)]
pub(super) struct Storage {
    pub(super) key: Rc<str>,
    /// `None`: of a kind that has no place here.
    pub(super) dtype: Option<DType>,
}

/// A tensor as a view of a storage; offset and strides in elements.
#[derive(Debug)]
pub(super) struct TensorSpec {
    pub(super) storage: Rc<str>,
    pub(super) dtype: DType,
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

/// A parsed pickle.
#[derive(Debug)]
pub(super) struct Pickle {
    dicts: Vec<Vec<(Object, Object)>>,
    lists: Vec<Vec<Object>>,
    storages: Vec<Rc<Storage>>,
    root: Object,
    length: usize,
}

impl Pickle {
    pub(super) fn root(&self) -> &Object {
        &self.root
    }

    pub(super) fn dict(&self, id: usize) -> &[(Object, Object)] {
        self.dicts.get(id).map_or(&[], Vec::as_slice)
    }

    pub(super) fn list(&self, id: usize) -> &[Object] {
        self.lists.get(id).map_or(&[], Vec::as_slice)
    }

    /// Every storage that is mentioned, as often as it is mentioned.
    pub(super) fn storages(&self) -> &[Rc<Storage>] {
        &self.storages
    }

    /// Bytes that the pickle takes up.
    pub(super) fn length(&self) -> usize {
        self.length
    }
}

/// Reads the pickle at the start of `bytes`; what follows it doesn't matter.
pub(super) fn parse(bytes: &[u8]) -> Result<Pickle, String> {
    let mut machine = Machine { bytes, ..Machine::default() };
    loop {
        let position = machine.at;
        let opcode = machine.byte()?;
        if opcode == b'.' {
            let root = machine.pop()?;
            let Machine { dicts, lists, storages, at: length, .. } = machine;
            return Ok(Pickle { dicts, lists, storages, root, length });
        }
        machine.step(opcode).map_err(|e| format!("{e} (opcode {opcode:#04x} at byte {position})"))?;
    }
}

#[derive(Default)]
struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Object>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<u32, Object>,
    dicts: Vec<Vec<(Object, Object)>>,
    lists: Vec<Vec<Object>>,
    storages: Vec<Rc<Storage>>,
}

impl Machine<'_> {
    fn step(&mut self, opcode: u8) -> Result<(), String> {
        match opcode {
            0x80 => drop(self.take(1)?), // PROTO
            0x95 => drop(self.take(8)?), // FRAME
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_mark()?),
            b'N' | 0x88 | 0x89 => self.stack.push(Object::Other), // None, True, False
            b'K' => self.integer(1)?,
            b'M' => self.integer(2)?,
            b'J' => {
                let value = i32::from_le_bytes(self.array()?);
                self.stack.push(Object::Int(i64::from(value)));
            }
            0x8a => {
                // LONG1: two's complement of any length; sizes fit eight bytes.
                let length = usize::from(self.byte()?);
                let bytes = self.take(length)?;
                let value = if length <= 8 {
                    let sign = if bytes.last().is_some_and(|b| b & 0x80 != 0) { 0xff } else { 0 };
                    let mut wide = [sign; 8];
                    wide[..length].copy_from_slice(bytes);
                    Object::Int(i64::from_le_bytes(wide))
                } else {
                    Object::Other
                };
                self.stack.push(value);
            }
            b'G' => {
                let value = f64::from_be_bytes(self.array()?);
                self.stack.push(Object::Float(value));
            }
            b'X' => {
                let length = u32::from_le_bytes(self.array()?) as usize;
                self.text(length)?;
            }
            0x8c => {
                let length = usize::from(self.byte()?);
                self.text(length)?;
            }
            b'U' | b'C' => {
                let length = usize::from(self.byte()?);
                self.take(length)?;
                self.stack.push(Object::Other);
            }
            b'B' | b'T' => {
                let length = u32::from_le_bytes(self.array()?) as usize;
                self.take(length)?;
                self.stack.push(Object::Other);
            }
            b'}' => {
                let id = self.new_dict();
                self.stack.push(id);
            }
            b']' => {
                self.lists.push(Vec::new());
                self.stack.push(Object::List(self.lists.len() - 1));
            }
            0x8f => self.stack.push(Object::Other), // sets hold no tensors of a state dict
            b')' => self.tuple(Vec::new())?,
            b't' => {
                let items = self.pop_mark()?;
                self.tuple(items)?;
            }
            0x85..=0x87 => {
                let count = usize::from(opcode - 0x84);
                let from = self.stack.len().checked_sub(count).ok_or("the stack is too short")?;
                let items = self.stack.split_off(from);
                self.tuple(items)?;
            }
            b'a' => {
                let item = self.pop()?;
                self.append([item]);
            }
            b'e' | 0x90 => {
                let items = self.pop_mark()?;
                self.append(items);
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set_items(vec![key, value])?;
            }
            b'u' => {
                let items = self.pop_mark()?;
                self.set_items(items)?;
            }
            b'q' => {
                let slot = u32::from(self.byte()?);
                self.memoize(slot)?;
            }
            b'r' => {
                let slot = u32::from_le_bytes(self.array()?);
                self.memoize(slot)?;
            }
            0x94 => self.memoize(self.memo.len() as u32)?,
            b'h' => {
                let slot = u32::from(self.byte()?);
                self.recall(slot)?;
            }
            b'j' => {
                let slot = u32::from_le_bytes(self.array()?);
                self.recall(slot)?;
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.stack.push(Object::Global(format!("{module}.{name}").into()));
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let global = match (module, name) {
                    (Object::Text(module), Object::Text(name)) => Object::Global(format!("{module}.{name}").into()),
                    _ => return Err("a name is not text".to_owned()),
                };
                self.stack.push(global);
            }
            b'Q' => {
                let id = self.pop()?;
                let storage = Rc::new(storage(&id)?);
                self.storages.push(Rc::clone(&storage));
                self.stack.push(Object::Storage(storage));
            }
            b'R' | 0x81 => {
                let (arguments, callable) = (self.pop()?, self.pop()?);
                let object = self.construct(&callable, &arguments)?;
                self.stack.push(object);
            }
            b'b' => drop(self.pop()?), // BUILD: attributes of an object, e.g. _metadata of a state dict
            _ => return Err("unknown opcode".to_owned()),
        }
        Ok(())
    }

    fn construct(&mut self, callable: &Object, arguments: &Object) -> Result<Object, String> {
        let (Object::Global(name), Object::Tuple(arguments, _)) = (callable, arguments) else {
            return Ok(Object::Other);
        };
        match &**name {
            "collections.OrderedDict" => Ok(self.new_dict()),
            "torch._utils._rebuild_parameter" => Ok(arguments.first().cloned().unwrap_or(Object::Other)),
            "torch._utils._rebuild_tensor_v2" | "torch._utils._rebuild_tensor" => {
                let [
                    Object::Storage(storage),
                    Object::Int(offset),
                    Object::Tuple(shape, _),
                    Object::Tuple(strides, _),
                    ..,
                ] = &arguments[..]
                else {
                    return Err("a tensor is described in an unknown way".to_owned());
                };
                // Types without a place here (complex, quantised) are no error until such a tensor is wanted.
                let Some(dtype) = storage.dtype else { return Ok(Object::Other) };
                let spec = TensorSpec {
                    storage: Rc::clone(&storage.key),
                    dtype,
                    offset: usize::try_from(*offset).map_err(|_| "an offset is negative")?,
                    shape: sizes(shape)?,
                    strides: sizes(strides)?,
                };
                if spec.shape.len() != spec.strides.len() {
                    return Err("a tensor's shape and strides don't belong together".to_owned());
                }
                Ok(Object::Tensor(Rc::new(spec)))
            }
            _ => Ok(Object::Other),
        }
    }

    fn set_items(&mut self, items: Vec<Object>) -> Result<(), String> {
        if let Some(Object::Dict(id)) = self.stack.last()
            && let Some(dict) = self.dicts.get_mut(*id)
        {
            let mut items = items.into_iter();
            while let (Some(key), Some(value)) = (items.next(), items.next()) {
                dict.push((key, value));
            }
        }
        Ok(())
    }

    /// Tuples in tuples are dropped level by level, on the stack: their depth is limited.
    fn tuple(&mut self, items: Vec<Object>) -> Result<(), String> {
        let level = |item: &Object| if let Object::Tuple(_, level) = item { *level } else { 0 };
        let deepest = items.iter().map(level).max().unwrap_or(0);
        if deepest >= MAX_NESTING {
            return Err("tuples are nested too deeply".to_owned());
        }
        self.stack.push(Object::Tuple(items.into(), deepest + 1));
        Ok(())
    }

    fn append(&mut self, items: impl IntoIterator<Item = Object>) {
        if let Some(Object::List(id)) = self.stack.last()
            && let Some(list) = self.lists.get_mut(*id)
        {
            list.extend(items);
        }
    }

    fn new_dict(&mut self) -> Object {
        self.dicts.push(Vec::new());
        Object::Dict(self.dicts.len() - 1)
    }

    fn memoize(&mut self, slot: u32) -> Result<(), String> {
        let top = self.stack.last().ok_or("the stack is empty")?.clone();
        self.memo.insert(slot, top);
        Ok(())
    }

    fn recall(&mut self, slot: u32) -> Result<(), String> {
        let object = self.memo.get(&slot).ok_or("nothing was memoized there")?.clone();
        self.stack.push(object);
        Ok(())
    }

    fn integer(&mut self, length: usize) -> Result<(), String> {
        let value = self.take(length)?.iter().rev().fold(0_i64, |value, &byte| (value << 8) | i64::from(byte));
        self.stack.push(Object::Int(value));
        Ok(())
    }

    fn text(&mut self, length: usize) -> Result<(), String> {
        let text = str::from_utf8(self.take(length)?).map_err(|_| "a string is not UTF-8")?.into();
        self.stack.push(Object::Text(text));
        Ok(())
    }

    fn pop(&mut self) -> Result<Object, String> {
        self.stack.pop().ok_or_else(|| "the stack is empty".to_owned())
    }

    fn pop_mark(&mut self) -> Result<Vec<Object>, String> {
        let height = self.marks.pop().ok_or("there is no mark")?;
        if height > self.stack.len() {
            return Err("the stack is shorter than its mark".to_owned());
        }
        Ok(self.stack.split_off(height))
    }

    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.array::<1>()?[0])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }
}

impl<'a> Machine<'a> {
    fn line(&mut self) -> Result<&'a str, String> {
        let length = self.bytes[self.at..].iter().position(|&b| b == b'\n').ok_or("a name doesn't end")?;
        let line = self.take(length + 1)?;
        str::from_utf8(&line[..length]).map_err(|_| "a name is not UTF-8".to_owned())
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let bytes =
            self.at.checked_add(count).and_then(|end| self.bytes.get(self.at..end)).ok_or("it ends too early")?;
        self.at += count;
        Ok(bytes)
    }
}

/// `('storage', torch.FloatStorage, key, device, elements)`; before torch 1.6 a sixth part says what it is a part of.
fn storage(id: &Object) -> Result<Storage, String> {
    let Object::Tuple(parts, _) = id else { return Err("a persistent id is no tuple".to_owned()) };
    let [Object::Text(kind), Object::Global(class), Object::Text(key), ..] = &parts[..] else {
        return Err("a storage is described in an unknown way".to_owned());
    };
    if &**kind != "storage" {
        return Err(format!("unknown persistent id {kind:?}"));
    }
    if matches!(parts.get(5), Some(Object::Tuple(..))) {
        return Err("a storage is a part of another one".to_owned());
    }
    let dtype = match class.strip_prefix("torch.").unwrap_or(class) {
        "DoubleStorage" => Some(DType::F64),
        "FloatStorage" => Some(DType::F32),
        "HalfStorage" => Some(DType::F16),
        "BFloat16Storage" => Some(DType::BF16),
        "LongStorage" => Some(DType::I64),
        "IntStorage" => Some(DType::I32),
        "ShortStorage" => Some(DType::I16),
        "CharStorage" => Some(DType::I8),
        "ByteStorage" => Some(DType::U8),
        "BoolStorage" => Some(DType::Bool),
        _ => None,
    };
    Ok(Storage { key: Rc::clone(key), dtype })
}

fn sizes(items: &[Object]) -> Result<Vec<usize>, String> {
    items
        .iter()
        .map(|item| match item {
            Object::Int(size) => usize::try_from(*size).map_err(|_| "a size is negative".to_owned()),
            _ => Err("a size is no number".to_owned()),
        })
        .collect()
}
