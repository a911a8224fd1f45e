# Fails unless the command lines EMULATED and NATIVE print the same.

foreach(command IN ITEMS EMULATED NATIVE)
  separate_arguments(arguments UNIX_COMMAND "${${command}}")
  execute_process(COMMAND ${arguments} OUTPUT_VARIABLE ${command}_output COMMAND_ERROR_IS_FATAL ANY)
endforeach()
if(NOT EMULATED_output OR NOT EMULATED_output STREQUAL NATIVE_output)
  message(FATAL_ERROR "${EMULATED} printed\n${EMULATED_output}\nand ${NATIVE}\n${NATIVE_output}")
endif()
