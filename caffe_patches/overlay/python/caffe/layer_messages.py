"""Which message of LayerParameter takes a keyword of a layer, for net_spec.

Caffe finds a layer's message by its name: Pooling's is a PoolingParameter. An
ApproxDropoutInnerProduct takes two, InnerProduct's and ApproxDropoutParameter,
and LSTM's has another name.
"""

from .proto import caffe_pb2

_PREFIX = 'ApproxDropout'
_OTHER_NAMES = {'LSTM': 'recurrent', 'RNN': 'recurrent'}


def _has_field(param_name, key):
    fields = caffe_pb2.LayerParameter.DESCRIPTOR.fields_by_name
    message = fields[param_name + '_param'].message_type
    return key in message.fields_by_name


def param_name(type_name, key, param_names):
    """Name, without '_param', of the field of LayerParameter whose message
    takes `key` of a layer of that type.

    param_names: of the types that have one message. Raises KeyError if it is
    no message's but LayerParameter's own field, TypeError if a layer of ours
    has no such field, or two.
    """
    names = dict(_OTHER_NAMES, **param_names)
    if not type_name.startswith((_PREFIX, 'DropoutPattern')):
        return names[type_name]
    if type_name in names:
        candidates = [names[type_name]]
    else:
        candidates = [names[type_name[len(_PREFIX):]], names[_PREFIX]]
    found = [name for name in candidates if _has_field(name, key)]
    if len(found) == 1:
        return found[0]
    if found:
        raise TypeError(
            "%s: '%s' is a field of %s; say which, as %s_param=dict(%s=...)"
            % (type_name, key, ' and '.join(x + '_param' for x in found),
               found[0], key))
    if key not in caffe_pb2.LayerParameter.DESCRIPTOR.fields_by_name:
        raise TypeError(
            "%s: '%s' is no field of %s, nor of a layer"
            % (type_name, key, ' or '.join(x + '_param' for x in candidates)))
    raise KeyError(key)
