#pragma once

#include <map>
#include <string>
#include <vector>

#include "ipc/chat.h"
#include "ipc/json_fields.h"

namespace tandem::ipc {

/// A function of a namespace, as the client names it.
struct SpacedName {
  std::string space;
  std::string name;
};

/// By the one name under which the model is shown the function.
using SpacedNames = std::map<std::string, SpacedName, std::less<>>;

/// "tools" of POST /v1/responses.
struct ResponseTools {
  std::vector<ChatTool> functions;
  SpacedNames spaced;                        ///< of those functions that are in namespaces
  OrderedJson shown = OrderedJson::array();  ///< "tools" without those that the model is not shown
};

/// The one name for a function of a namespace: "mcp__files__" and "read" are mcp__files__read.
std::string joined_name(const std::string& space, const std::string& name);

/// Functions, also those in namespaces.  What only OpenAI's servers could do, searching the web and making
/// pictures, is left out: agents offer it unasked.  All else is refused: RequestError 400 naming the member.
ResponseTools read_response_tools(const Json* tools);

/// "tool_choice": "none", "auto", "required" or a function of `tools`; nullptr is "auto".
ToolChoice read_response_tool_choice(const Json* choice, const std::vector<ChatTool>& tools);

}  // namespace tandem::ipc
