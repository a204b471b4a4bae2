"use strict";(self.rspackChunkjupyterlab_lpf=self.rspackChunkjupyterlab_lpf||[]).push([[0],{19(r,e,o){var a=o(20),t=o.n(a),n=o(21),l=(o.n(n))()(t());l.push([r.id,`.lpf-spinner {
  animation: lpf-turn 1s linear infinite;
  transform-origin: center;
}

@keyframes lpf-turn {
  to {
    transform: rotate(360deg);
  }
}

@media (prefers-reduced-motion: reduce) {
  .lpf-spinner {
    animation: none;
  }
}

/* The word at the prompt. */

.jp-CodeCell .jp-InputPrompt[data-lpf]:not([data-lpf=''])::after {
  content: attr(data-lpf);
  display: block;
  color: var(--jp-ui-font-color2);
  font-family: var(--jp-ui-font-family);
  font-size: var(--jp-ui-font-size0);
  line-height: 1.2;
  white-space: nowrap;
}

.jp-CodeCell[data-lpf='paused'] .jp-InputPrompt[data-lpf]::after {
  color: var(--jp-ui-font-color1);
  font-weight: 600;
}

.jp-CodeCell[data-lpf='ended'] .jp-InputPrompt[data-lpf]::after {
  color: var(--jp-error-color1);
}

/* The bar in a cell. */

.lpf-bar {
  display: flex;
  flex-wrap: wrap;
  align-items: center;
  gap: 4px 12px;
  margin-left: calc(
    var(--jp-cell-prompt-width) + var(--jp-cell-collapser-width) + var(--jp-cell-padding)
  );
  padding: 2px 8px;
  border-left: 3px solid var(--jp-warn-color1);
  background: var(--jp-layout-color2);
  color: var(--jp-ui-font-color1);
  font-family: var(--jp-ui-font-family);
  font-size: var(--jp-ui-font-size1);
}

.jp-CodeCell[data-lpf='queued'] .lpf-bar {
  border-left-color: var(--jp-border-color1);
}

.lpf-bar-text {
  flex: 1 1 auto;
  overflow-wrap: anywhere;
}

.lpf-bar-buttons {
  display: flex;
  gap: 4px;
}

.lpf-button {
  padding: 1px 8px;
  border: 1px solid var(--jp-border-color1);
  border-radius: var(--jp-border-radius);
  background: var(--jp-layout-color1);
  color: var(--jp-ui-font-color1);
  font: inherit;
  cursor: pointer;
}

.lpf-button:hover {
  background: var(--jp-layout-color3);
}

.lpf-button:focus-visible {
  outline: 2px solid var(--jp-brand-color1);
  outline-offset: 1px;
}

/* The line at which a paused cell stands, in its editor. */

.cm-editor .lpf-here {
  background: var(--jp-warn-color3);
}

[data-jp-theme-light='false'] .cm-editor .lpf-here {
  background: color-mix(in srgb, var(--jp-warn-color1) 35%, transparent);
}

/* The panels. */

.lpf-panel {
  overflow: auto;
  padding: 8px 12px;
  background: var(--jp-layout-color1);
  color: var(--jp-ui-font-color1);
  font-family: var(--jp-ui-font-family);
  font-size: var(--jp-ui-font-size1);
}

.lpf-panel p {
  margin: 4px 0;
}

.lpf-title {
  margin: 4px 0;
  overflow-wrap: anywhere;
  font-size: var(--jp-ui-font-size1);
}

.lpf-muted,
.lpf-type {
  color: var(--jp-ui-font-color2);
}

.lpf-problem {
  color: var(--jp-error-color1);
  overflow-wrap: anywhere;
}

.lpf-panel summary {
  cursor: pointer;
  overflow-wrap: anywhere;
}

.lpf-panel summary:focus-visible {
  outline: 2px solid var(--jp-brand-color1);
}

.lpf-frame {
  margin: 6px 0;
}

.lpf-source,
.lpf-values,
.lpf-expression {
  font-family: var(--jp-code-font-family);
  font-size: var(--jp-code-font-size);
}

.lpf-source {
  margin: 2px 0;
  padding: 2px 0;
  overflow-x: auto;
  background: var(--jp-cell-editor-background);
}

.lpf-current {
  background: var(--jp-warn-color3);
}

[data-jp-theme-light='false'] .lpf-current {
  background: color-mix(in srgb, var(--jp-warn-color1) 35%, transparent);
}

.lpf-values,
.lpf-list {
  margin: 2px 0;
  padding-left: 12px;
  list-style: none;
}

.lpf-list {
  padding-left: 0;
}

.lpf-variable {
  overflow-wrap: anywhere;
}

.lpf-name {
  color: var(--jp-mirror-editor-def-color);
}

.lpf-type {
  margin-left: 8px;
  font-family: var(--jp-ui-font-family);
  font-size: var(--jp-ui-font-size0);
}

.lpf-evaluate {
  display: flex;
  flex-direction: column;
  gap: 4px;
  margin-top: 8px;
}

.lpf-field {
  padding: 2px 4px;
  border: 1px solid var(--jp-border-color1);
  background: var(--jp-layout-color1);
  color: var(--jp-ui-font-color1);
}

.lpf-job {
  margin: 4px 0;
  padding-left: 6px;
  border-left: 3px solid var(--jp-border-color1);
}

.lpf-job.lpf-paused {
  border-left-color: var(--jp-warn-color1);
}

.lpf-panel .lpf-bar-buttons {
  flex-wrap: wrap;
}
`,""]),o.d(e,{},{A:l})},21(r){r.exports=function(r){var e=[];return e.toString=function(){return this.map(function(e){var o="",a=void 0!==e[5];return e[4]&&(o+="@supports (".concat(e[4],") {")),e[2]&&(o+="@media ".concat(e[2]," {")),a&&(o+="@layer".concat(e[5].length>0?" ".concat(e[5]):""," {")),o+=r(e),a&&(o+="}"),e[2]&&(o+="}"),e[4]&&(o+="}"),o}).join("")},e.i=function(r,o,a,t,n){"string"==typeof r&&(r=[[null,r,void 0]]);var l={};if(a)for(var p=0;p<this.length;p++){var i=this[p][0];null!=i&&(l[i]=!0)}for(var f=0;f<r.length;f++){var c=[].concat(r[f]);a&&l[c[0]]||(void 0!==n&&(void 0===c[5]||(c[1]="@layer".concat(c[5].length>0?" ".concat(c[5]):""," {").concat(c[1],"}")),c[5]=n),o&&(c[2]&&(c[1]="@media ".concat(c[2]," {").concat(c[1],"}")),c[2]=o),t&&(c[4]?(c[1]="@supports (".concat(c[4],") {").concat(c[1],"}"),c[4]=t):c[4]="".concat(t)),e.push(c))}},e}},20(r){r.exports=function(r){return r[1]}},12(r,e,o){o.r(e);var a=o(13),t=o.n(a),n=o(14),l=o.n(n),p=o(15),i=o.n(p),f=o(16),c=o.n(f),s=o(17),u=o.n(s),d=o(18),v=o.n(d),m=o(19),b={};b.styleTagTransform=v(),b.setAttributes=c(),b.insert=i().bind(null,"head"),b.domAPI=l(),b.insertStyleElement=u(),t()(m.A,b);let h=m.A&&m.A.locals?m.A.locals:void 0;o.d(e,{},{default:h})},13(r){var e=[];function o(r){for(var o=-1,a=0;a<e.length;a++)if(e[a].identifier===r){o=a;break}return o}function a(r,a){for(var t={},n=[],l=0;l<r.length;l++){var p=r[l],i=a.base?p[0]+a.base:p[0],f=t[i]||0,c="".concat(i," ").concat(f);t[i]=f+1;var s=o(c),u={css:p[1],media:p[2],sourceMap:p[3],supports:p[4],layer:p[5]};if(-1!==s)e[s].references++,e[s].updater(u);else{var d=function(r,e){var o=e.domAPI(e);return o.update(r),function(e){e?(e.css!==r.css||e.media!==r.media||e.sourceMap!==r.sourceMap||e.supports!==r.supports||e.layer!==r.layer)&&o.update(r=e):o.remove()}}(u,a);a.byIndex=l,e.splice(l,0,{identifier:c,updater:d,references:1})}n.push(c)}return n}r.exports=function(r,t){var n=a(r=r||[],t=t||{});return function(r){r=r||[];for(var l=0;l<n.length;l++){var p=o(n[l]);e[p].references--}for(var i=a(r,t),f=0;f<n.length;f++){var c=o(n[f]);0===e[c].references&&(e[c].updater(),e.splice(c,1))}n=i}}},15(r){var e={};r.exports=function(r,o){var a=function(r){if(void 0===e[r]){var o=document.querySelector(r);if(window.HTMLIFrameElement&&o instanceof window.HTMLIFrameElement)try{o=o.contentDocument.head}catch(r){o=null}e[r]=o}return e[r]}(r);if(!a)throw Error("Couldn't find a style target. This probably means that the value for the 'insert' parameter is invalid.");a.appendChild(o)}},17(r){r.exports=function(r){var e=document.createElement("style");return r.setAttributes(e,r.attributes),r.insert(e,r.options),e}},16(r,e,o){r.exports=function(r){var e=o.nc;e&&r.setAttribute("nonce",e)}},14(r){r.exports=function(r){if("u"<typeof document)return{update:function(){},remove:function(){}};var e=r.insertStyleElement(r);return{update:function(o){var a,t,n;a="",o.supports&&(a+="@supports (".concat(o.supports,") {")),o.media&&(a+="@media ".concat(o.media," {")),(t=void 0!==o.layer)&&(a+="@layer".concat(o.layer.length>0?" ".concat(o.layer):""," {")),a+=o.css,t&&(a+="}"),o.media&&(a+="}"),o.supports&&(a+="}"),(n=o.sourceMap)&&"u">typeof btoa&&(a+="\n/*# sourceMappingURL=data:application/json;base64,".concat(btoa(unescape(encodeURIComponent(JSON.stringify(n))))," */")),r.styleTagTransform(a,e,r.options)},remove:function(){var r;null===(r=e).parentNode||r.parentNode.removeChild(r)}}}},18(r){r.exports=function(r,e){if(e.styleSheet)e.styleSheet.cssText=r;else{for(;e.firstChild;)e.removeChild(e.firstChild);e.appendChild(document.createTextNode(r))}}}}]);