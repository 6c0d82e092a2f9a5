#pragma once

#include <string>

#include "lookback/program/error.h"

// What an action complains of.
template <typename Action>
std::string error_of(Action action) {
    try {
        action();
    } catch (const lookback::BadInput& error) {
        return error.what();
    }
    return "(no error)";
}
