#include "lookback/tensor/scope.h"

#include <mutex>
#include <set>
#include <string>
#include <utility>

namespace lookback {

namespace {

thread_local const char* current_scope = "";

// One text for each path, and never freed: nodes point to it.
const char* path_of(const char* outer, std::string name) {
    static std::mutex mutex;
    static std::set<std::string>& paths = *new std::set<std::string>;
    if (*outer) name = std::string(outer) + "." + name;
    const std::lock_guard lock(mutex);
    return paths.insert(std::move(name)).first->c_str();
}

}    // namespace

Scope::Scope(const char* name) : outer(std::exchange(current_scope, path_of(current_scope, name))) {}
Scope::Scope(const char* name, int index) : Scope((std::string(name) + "." + std::to_string(index)).c_str()) {}
Scope::~Scope() { current_scope = outer; }

const char* Scope::current() { return current_scope; }

}    // namespace lookback
