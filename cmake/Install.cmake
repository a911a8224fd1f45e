# What `cmake --install` puts where: programs, their man pages, completions where each shell looks, units of systemd,
# and the configuration's defaults and schema.

# paper(FILE FOLDER COMMAND...): FILE is what COMMAND, a built program and its arguments, prints.
function(paper file folder program)
  set(path ${CMAKE_BINARY_DIR}/papers/${file})
  add_custom_command(OUTPUT ${path} COMMAND ${program} ${ARGN} > ${path} DEPENDS ${program} VERBATIM)
  set_property(GLOBAL APPEND PROPERTY TANDEM_PAPERS ${path})
  install(FILES ${path} DESTINATION ${folder})
endfunction()

file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/papers)
install(TARGETS tandem tandemd RUNTIME)

paper(tandem.1 ${CMAKE_INSTALL_MANDIR}/man1 tandem manual)
paper(tandem-config.5 ${CMAKE_INSTALL_MANDIR}/man5 tandemd --manual tandem-config)
paper(tandemd.8 ${CMAKE_INSTALL_MANDIR}/man8 tandemd --manual tandemd)

# Debian's zsh looks into site-functions of /usr/local only.
set(zsh_folder ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
if(CMAKE_INSTALL_PREFIX STREQUAL /usr)
  set(zsh_folder ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions)
endif()
set(bash_folder ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
set(fish_folder ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
paper(tandem ${bash_folder} tandem completions bash)
paper(tandemd ${bash_folder} tandemd --completions bash)
paper(_tandem ${zsh_folder} tandem completions zsh)
paper(_tandemd ${zsh_folder} tandemd --completions zsh)
paper(tandem.fish ${fish_folder} tandem completions fish)
paper(tandemd.fish ${fish_folder} tandemd --completions fish)

get_property(papers GLOBAL PROPERTY TANDEM_PAPERS)
add_custom_target(papers ALL DEPENDS ${papers})

foreach(whose IN ITEMS system user)
  set(unit ${CMAKE_BINARY_DIR}/papers/${whose}/tandemd.service)
  configure_file(${CMAKE_SOURCE_DIR}/config/systemd/${whose}/tandemd.service.in ${unit} @ONLY)
  install(FILES ${unit} DESTINATION lib/systemd/${whose})
endforeach()
install(FILES config/systemd/tandem.sysusers DESTINATION lib/sysusers.d RENAME tandem.conf)

install(FILES README.md config/default.json config/config.schema.json config/nginx.conf
  DESTINATION ${CMAKE_INSTALL_DOCDIR})
