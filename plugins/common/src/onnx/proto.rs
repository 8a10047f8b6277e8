//! The messages of an ONNX file, written. Source: `onnx/onnx.proto3`.

use crate::protobuf::{put_bytes, put_number, put_varint};

use super::graph::{Attribute, Dim, Element};

/// Numbers of the fields that are read or written.
pub(super) mod field {
    pub(crate) const MODEL_IR_VERSION: u64 = 1;
    pub(crate) const MODEL_PRODUCER: u64 = 2;
    pub(crate) const MODEL_GRAPH: u64 = 7;
    pub(crate) const MODEL_OPSET: u64 = 8;
    pub(crate) const OPSET_DOMAIN: u64 = 1;
    pub(crate) const OPSET_VERSION: u64 = 2;
    pub(crate) const GRAPH_NODE: u64 = 1;
    pub(crate) const GRAPH_NAME: u64 = 2;
    pub(crate) const GRAPH_INITIALIZER: u64 = 5;
    pub(crate) const GRAPH_INPUT: u64 = 11;
    pub(crate) const GRAPH_OUTPUT: u64 = 12;
    pub(crate) const GRAPH_VALUE_INFO: u64 = 13;
    pub(crate) const NODE_INPUT: u64 = 1;
    pub(crate) const NODE_OUTPUT: u64 = 2;
    pub(crate) const NODE_NAME: u64 = 3;
    pub(crate) const NODE_OPERATOR: u64 = 4;
    pub(crate) const NODE_ATTRIBUTE: u64 = 5;
    pub(crate) const NODE_DOMAIN: u64 = 7;
    pub(crate) const ATTRIBUTE_NAME: u64 = 1;
    pub(crate) const ATTRIBUTE_FLOAT: u64 = 2;
    pub(crate) const ATTRIBUTE_INT: u64 = 3;
    pub(crate) const ATTRIBUTE_TEXT: u64 = 4;
    pub(crate) const ATTRIBUTE_TENSOR: u64 = 5;
    pub(crate) const ATTRIBUTE_GRAPH: u64 = 6;
    pub(crate) const ATTRIBUTE_INTS: u64 = 8;
    pub(crate) const ATTRIBUTE_TYPE: u64 = 20;
    pub(crate) const TENSOR_DIMS: u64 = 1;
    pub(crate) const TENSOR_TYPE: u64 = 2;
    pub(crate) const TENSOR_FLOATS: u64 = 4;
    pub(crate) const TENSOR_INTS: u64 = 5;
    pub(crate) const TENSOR_LONGS: u64 = 7;
    pub(crate) const TENSOR_NAME: u64 = 8;
    pub(crate) const TENSOR_RAW: u64 = 9;
    pub(crate) const VALUE_NAME: u64 = 1;
    pub(crate) const VALUE_TYPE: u64 = 2;
    pub(crate) const TYPE_TENSOR: u64 = 1;
    pub(crate) const TENSOR_TYPE_ELEMENT: u64 = 1;
    pub(crate) const TENSOR_TYPE_SHAPE: u64 = 2;
    pub(crate) const SHAPE_DIM: u64 = 1;
    pub(crate) const DIM_VALUE: u64 = 1;
    pub(crate) const DIM_NAME: u64 = 2;
}

/// What a `NodeProto` says.
pub(super) struct NodeFields<'a> {
    pub(super) operator: &'a str,
    pub(super) domain: &'a str,
    pub(super) name: &'a str,
}

/// `NodeProto`; inputs that are left out are empty names.
pub(super) fn node<'n>(
    node: &NodeFields<'_>,
    inputs: impl Iterator<Item = &'n str>,
    outputs: impl Iterator<Item = &'n str>,
    attributes: impl Iterator<Item = (&'n str, Attribute<'n>)>,
) -> Vec<u8> {
    let mut out = Vec::new();
    for input in inputs {
        put_bytes(&mut out, field::NODE_INPUT, input.as_bytes());
    }
    for output in outputs {
        put_bytes(&mut out, field::NODE_OUTPUT, output.as_bytes());
    }
    let texts =
        [(field::NODE_NAME, node.name), (field::NODE_OPERATOR, node.operator), (field::NODE_DOMAIN, node.domain)];
    for (number, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
        put_bytes(&mut out, number, text.as_bytes());
    }
    for (name, value) in attributes {
        put_bytes(&mut out, field::NODE_ATTRIBUTE, &attribute(name, value));
    }
    out
}

/// `AttributeProto`
fn attribute(name: &str, attribute: Attribute<'_>) -> Vec<u8> {
    let mut proto = Vec::new();
    put_bytes(&mut proto, field::ATTRIBUTE_NAME, name.as_bytes());
    // `AttributeProto.AttributeType`
    let kind = match attribute {
        Attribute::Float(value) => {
            put_varint(&mut proto, field::ATTRIBUTE_FLOAT << 3 | 5);
            proto.extend(value.to_le_bytes());
            1
        }
        Attribute::Int(value) => {
            put_number(&mut proto, field::ATTRIBUTE_INT, value as u64);
            2
        }
        Attribute::Text(text) => {
            put_bytes(&mut proto, field::ATTRIBUTE_TEXT, text.as_bytes());
            3
        }
        Attribute::Ints(values) => {
            for &value in values {
                put_number(&mut proto, field::ATTRIBUTE_INTS, value as u64);
            }
            7
        }
    };
    put_number(&mut proto, field::ATTRIBUTE_TYPE, kind);
    proto
}

/// `TensorProto`
pub(super) fn tensor(name: &str, element: Element, shape: &[usize], raw: &[u8]) -> Vec<u8> {
    let mut tensor = Vec::with_capacity(raw.len() + name.len() + 64);
    for &dim in shape {
        put_number(&mut tensor, field::TENSOR_DIMS, dim as u64);
    }
    put_number(&mut tensor, field::TENSOR_TYPE, element as u64);
    put_bytes(&mut tensor, field::TENSOR_NAME, name.as_bytes());
    put_bytes(&mut tensor, field::TENSOR_RAW, raw);
    tensor
}

/// `ValueInfoProto` of an input or an output.
pub(super) fn value_info(name: &str, element: Element, dims: Option<&[Dim]>) -> Vec<u8> {
    let mut tensor = Vec::new();
    put_number(&mut tensor, field::TENSOR_TYPE_ELEMENT, element as u64);
    if let Some(dims) = dims {
        let mut shape = Vec::new();
        for dim in dims {
            let mut proto = Vec::new();
            match dim {
                Dim::Of(extent) => put_number(&mut proto, field::DIM_VALUE, *extent as u64),
                Dim::Any(name) => put_bytes(&mut proto, field::DIM_NAME, name.as_bytes()),
            }
            put_bytes(&mut shape, field::SHAPE_DIM, &proto);
        }
        put_bytes(&mut tensor, field::TENSOR_TYPE_SHAPE, &shape);
    }
    let mut kind = Vec::new();
    put_bytes(&mut kind, field::TYPE_TENSOR, &tensor);
    let mut info = Vec::new();
    put_bytes(&mut info, field::VALUE_NAME, name.as_bytes());
    put_bytes(&mut info, field::VALUE_TYPE, &kind);
    info
}

/// `OperatorSetIdProto`; the empty domain is ONNX's own.
pub(super) fn opset(domain: &str, version: u64) -> Vec<u8> {
    let mut opset = Vec::new();
    if !domain.is_empty() {
        put_bytes(&mut opset, field::OPSET_DOMAIN, domain.as_bytes());
    }
    put_number(&mut opset, field::OPSET_VERSION, version);
    opset
}
