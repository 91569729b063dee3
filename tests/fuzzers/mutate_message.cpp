#include "mutate_message.hpp"

#include <google/protobuf/descriptor.h>

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace {

using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

int Below(std::mt19937* random, int size) { return (*random)() % size; }

template <typename Value>
Value OneOf(std::mt19937* random, const std::vector<Value>& values) {
  return values[Below(random, values.size())];
}

// A message, all that are in it, and the texts of all.
struct Parts {
  std::vector<Message*> messages;
  std::vector<std::string> texts;

  explicit Parts(Message* message) { Add(message); }

  void Add(Message* message) {
    messages.push_back(message);
    const Reflection& all = *message->GetReflection();
    std::vector<const FieldDescriptor*> fields;
    all.ListFields(*message, &fields);
    for (const FieldDescriptor* field : fields) {
      const int size =
          field->is_repeated() ? all.FieldSize(*message, field) : 1;
      for (int i = 0; i < size; ++i) {
        AddValue(message, field, i);
      }
    }
  }

  void AddValue(Message* message, const FieldDescriptor* field, int i) {
    const Reflection& all = *message->GetReflection();
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      Add(field->is_repeated() ? all.MutableRepeatedMessage(message, field, i)
                               : all.MutableMessage(message, field));
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
      texts.push_back(field->is_repeated()
                          ? all.GetRepeatedString(*message, field, i)
                          : all.GetString(*message, field));
    }
  }
};

int64_t Integer(std::mt19937* random) {
  if (Below(random, 2)) {
    return Below(random, 9);
  }
  return OneOf<int64_t>(
      random, {-1, -2, 16, 31, 32, 33, 255, 256, 257, 65535, 65536, INT32_MAX,
                  INT32_MIN, UINT32_MAX, INT64_MAX, INT64_MIN});
}

double Real(std::mt19937* random) {
  if (Below(random, 2)) {
    return Below(random, 11) / 10.;
  }
  return OneOf<double>(random, {-1, 2, 1e-30, 1e30, -0.5, 1e300, std::nan(""),
                                   std::numeric_limits<double>::infinity()});
}

std::string Text(std::mt19937* random, const Parts& parts) {
  if (parts.texts.empty() || Below(random, 8) == 0) {
    return "z";
  }
  return OneOf(random, parts.texts);
}

// Sets a field, or adds to a repeated one.
#define PUT(Type, value)                    \
  do {                                      \
    if (field->is_repeated()) {             \
      all.Add##Type(message, field, value); \
    } else {                                \
      all.Set##Type(message, field, value); \
    }                                       \
  } while (0)

void Put(std::mt19937* random, const Parts& parts, const FieldDescriptor* field,
    Message* message) {
  const Reflection& all = *message->GetReflection();
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      PUT(Int32, Integer(random));
      break;
    case FieldDescriptor::CPPTYPE_INT64:
      PUT(Int64, Integer(random));
      break;
    case FieldDescriptor::CPPTYPE_UINT32:
      PUT(UInt32, Integer(random));
      break;
    case FieldDescriptor::CPPTYPE_UINT64:
      PUT(UInt64, Integer(random));
      break;
    case FieldDescriptor::CPPTYPE_FLOAT:
      PUT(Float, Real(random));
      break;
    case FieldDescriptor::CPPTYPE_DOUBLE:
      PUT(Double, Real(random));
      break;
    case FieldDescriptor::CPPTYPE_BOOL:
      PUT(Bool, Below(random, 2));
      break;
    case FieldDescriptor::CPPTYPE_STRING:
      PUT(String, Text(random, parts));
      break;
    case FieldDescriptor::CPPTYPE_ENUM: {
      const EnumDescriptor& values = *field->enum_type();
      PUT(Enum, values.value(Below(random, values.value_count())));
      break;
    }
    case FieldDescriptor::CPPTYPE_MESSAGE: {
      // Half of them are copies of one that is there.
      Message* put = field->is_repeated() ? all.AddMessage(message, field)
                                          : all.MutableMessage(message, field);
      Message* other = OneOf(random, parts.messages);
      if (other->GetDescriptor() == put->GetDescriptor() && other != put) {
        put->CopyFrom(*other);
      }
      break;
    }
  }
}

#undef PUT

const FieldDescriptor* AField(std::mt19937* random, const Message& message) {
  std::vector<const FieldDescriptor*> fields;
  message.GetReflection()->ListFields(message, &fields);
  const int declared = message.GetDescriptor()->field_count();
  if (fields.empty() || Below(random, 3) == 0) {
    return declared ? message.GetDescriptor()->field(Below(random, declared))
                    : NULL;
  }
  return OneOf(random, fields);
}

void MutateOnce(std::mt19937* random, Message* whole) {
  const Parts parts(whole);
  Message* message = OneOf(random, parts.messages);
  const Reflection& all = *message->GetReflection();
  const FieldDescriptor* field = AField(random, *message);
  if (!field) {
    return;
  }
  const int size = field->is_repeated() ? all.FieldSize(*message, field) : 0;
  const int action = Below(random, 8);
  if (action == 0) {
    all.ClearField(message, field);
  } else if (size > 0 && action < 4) {
    // The last of a repeated field goes, or becomes another value.
    all.SwapElements(message, field, Below(random, size), size - 1);
    if (action != 1) {
      all.RemoveLast(message, field);
    }
    if (action == 3) {
      Put(random, parts, field, message);
    }
  } else {
    Put(random, parts, field, message);
  }
}

}  // namespace

void MutateMessage(std::mt19937* random, Message* message) {
  do {
    MutateOnce(random, message);
  } while (Below(random, 3) == 0);
}
